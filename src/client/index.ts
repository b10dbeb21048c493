export { askAgain } from './ask-again.js';
export { connectTemporal, type ConnectOptions, type TemporalLink } from './connect-temporal.js';
export { type EventPlace, type FollowOptions } from './follow-events.js';
export { type DecisionDetails, type OpenPermission, type PermissionOptions } from './open-permissions.js';
export { type TaskListener } from './listener.js';
export { type TaskEvent } from './sse.js';
export {
  createTaskClient,
  type StartOptions,
  type TaskClient,
  type TaskClientOptions,
  type TaskFilter,
  type TaskSummary,
} from './task-client.js';
export { type TaskFiles } from './task-files.js';
export { type TaskHandle } from './task-handle.js';
export { type TaskRules } from './task-rules.js';
export { payloadDataConverter } from '../codec/data-converter.js';
export { isRequest } from '../contract/index.js';
export { ERROR_CODES, TaskError, type ErrorCode } from '../errors.js';
export { taskPassword } from '../listener-secret.js';
export type {
  BadOutputDetails,
  CodexTaskInput,
  CodexTaskResult,
  OutputOf,
  OutputSchema,
  PermissionDecision,
  PermissionRequest,
  PermissionRule,
  TaskMessage,
  TaskRule,
  TaskState,
  TaskStatus,
} from '../contract/index.js';
