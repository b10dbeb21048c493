// A caller's worker: its workflow, its hook and codex tasks in one process. The folder of the package is the argument.
import { pathToFileURL } from 'node:url';
import { NativeConnection, Worker } from '@temporalio/worker';
import { turningCodec } from './codec.mjs';

const [, , folder, settings] = process.argv;
const { codexTaskPlugin } = await import(pathToFileURL(`${folder}/lib/worker/index.js`).href);
const { address, namespace, taskQueue, ...ours } = JSON.parse(settings);
const connection = await NativeConnection.connect({ address });
const worker = await Worker.create({
  connection,
  namespace,
  taskQueue,
  workflowsPath: new URL('workflows.ts', import.meta.url).pathname,
  activities: {
    allow: async () => ({ behavior: 'allow' }),
    noteEnd: async ({ taskId, outcome }) => console.log(`noted ${taskId} ${outcome}`),
  },
  dataConverter: { payloadCodecs: [turningCodec] },
  plugins: [codexTaskPlugin(ours)],
});
try {
  await worker.run();
} finally {
  await connection.close();
}
console.log('closed');
