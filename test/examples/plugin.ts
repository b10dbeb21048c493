import { NativeConnection, Worker } from '@temporalio/worker';
import { codexTaskPlugin } from 'codex-task-worker/worker';

const connection = await NativeConnection.connect({ address: '127.0.0.1:7233' });
const worker = await Worker.create({
  connection,
  taskQueue: 'reviews',
  workflowsPath: new URL('workflows.js', import.meta.url).pathname, // executeChild('codexTask', …)
  activities: { askReviewer: async () => ({ behavior: 'allow' }) }, // a hook may name it
  plugins: [codexTaskPlugin({ dataDir: '/var/lib/codex-task', drain: 'wait' })],
});
await worker.run();
await connection.close();
