export { codexTaskPlugin, type CodexTaskPlugin, type CodexTaskPluginSettings } from './plugin.js';
export { runWorker, type RunOptions } from './run-worker.js';
export { type WorkerSettings } from './worker-settings.js';
export { type WorkerLine } from './worker-line.js';
export { HostSuperseded, TaskError } from '../errors.js';
