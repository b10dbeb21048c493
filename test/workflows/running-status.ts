import { NO_USAGE, type TaskStatus } from '../../src/contract/index.js';

/** Of a task that runs and of which nothing else is to say. */
export const RUNNING: TaskStatus = {
  state: 'running',
  taskId: 't',
  threadId: null,
  host: 'h1',
  listener: null,
  model: 'm',
  seedId: null,
  quarantineId: null,
  pending: [],
  turns: 2,
  usage: NO_USAGE,
  controls: [],
  decidedByRule: { allow: 0, deny: 0 },
  warnings: [],
};
