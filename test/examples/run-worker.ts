import { runWorker } from 'codex-task-worker/worker';

const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());
await runWorker(
  { mongodbUri: 'mongodb://127.0.0.1:27017/codex_task', dataDir: '/var/lib/codex-task', drain: 'wait' },
  { signal: ending.signal, onReady: ({ listenerUrl }) => console.log(`ready at ${listenerUrl}`) },
);
