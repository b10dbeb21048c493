// A worker process that a test kills. Arguments: address, namespace, task queue, bundle of the workflow code.
import { NativeConnection, Worker } from '@temporalio/worker';

const [address, namespace, taskQueue, codePath] = process.argv.slice(2);
const connection = await NativeConnection.connect({ address });
const worker = await Worker.create({
  connection,
  namespace,
  taskQueue,
  workflowBundle: { codePath },
  // Longer than it takes to start the next one.
  stickyQueueScheduleToStartTimeout: '8s',
});
process.stdout.write('ready\n');
await worker.run();
