// A worker process that a test kills. Arguments: address, namespace, bundle of the workflow code, task queues.
import { NativeConnection, Worker } from '@temporalio/worker';

const [address, namespace, codePath, ...queues] = process.argv.slice(2);
const connection = await NativeConnection.connect({ address });
const workers = queues.map((taskQueue) =>
  Worker.create({
    connection,
    namespace,
    taskQueue,
    workflowBundle: { codePath },
    // Longer than it takes to start the next one.
    stickyQueueScheduleToStartTimeout: '8s',
  }),
);
const running = (await Promise.all(workers)).map((worker) => worker.run());
process.stdout.write('ready\n');
await Promise.all(running);
process.exit();
