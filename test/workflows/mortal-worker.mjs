// A worker process that a test kills. Arguments: address, namespace, bundle of the workflow code, task queues. It says
// when it is ready, and polls once it is given a line.
import { once } from 'node:events';
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
const ready = await Promise.all(workers);
process.stdout.write('here\n');
await once(process.stdin, 'data');
const running = ready.map((worker) => worker.run());
process.stdout.write('polls\n');
process.stdin.unref();
await Promise.all(running);
process.exit();
