/**
 * Workflow type of a task. Its workflow id is the task id, chosen by the caller: text of 1 to 1,000 bytes without
 * control characters, but not `operator`.
 */
export const CODEX_TASK = 'codexTask';

/** Task queue on which workflows and host-independent activities run. */
export const DEFAULT_TASK_QUEUE = 'codex-tasks';

/** Queue on which hosts with free capacity take new tasks. */
export const claimQueueOf = (taskQueue: string): string =>
  taskQueue === DEFAULT_TASK_QUEUE ? 'codex-claims' : `${taskQueue}-claims`;

/** Queue that only the worker with this data folder polls. */
export const hostQueueOf = (hostId: string): string => `codex-host.${hostId}`;
