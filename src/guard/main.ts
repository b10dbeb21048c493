import { guardTasks } from './guard-tasks.js';

// Started by the worker, detached: it must outlive it. Argument: the data folder. Its standard input ends with the
// worker, in whatever way that ends.
const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error('expected the data folder as argument');
const workerGone = new AbortController();
for (const event of ['end', 'error', 'close']) process.stdin.on(event, () => workerGone.abort());
process.stdin.resume();
await guardTasks(dataDir, workerGone.signal);
process.stdin.destroy();
