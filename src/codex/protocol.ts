/**
 * The part of the app-server's wire that this project reads and writes. Names are those of
 * codex's own schema, so that a test can hold every method, field and value here against it. What is read
 * lists the fields that are used; a field that codex may leave out is optional.
 */
import type { ServerCalls } from './protocol/server.js';
import type { ThreadCalls } from './protocol/threads.js';

export type * from '../contract/codex/notifications.js';
export type * from '../contract/codex/requests.js';
export type * from './protocol/server.js';
export type * from './protocol/threads.js';
export type * from '../contract/codex/turns.js';

/** Calls of ours, with what they take and give. */
export type ClientCalls = ServerCalls & ThreadCalls;

/** A method that this project calls. */
export type CallName = keyof ClientCalls;
