import { guardTasks } from './guard-tasks.js';

// Started by the worker, detached: it must outlive it. Argument: the data folder.
const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error('expected the data folder as argument');
await guardTasks(dataDir);
