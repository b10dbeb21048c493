import { uuid4, workflowInfo } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import * as contract from '../contract/index.js';
import type { TaskSpec } from '../contract/task-spec.js';
import { newAssignment } from './assignment.js';
import { handleMessages } from './message-handlers.js';
import { emptyOutbox, Outbox } from './outbox.js';
import { noHookRequests, PendingHookRequests } from './pending-hook-requests.js';
import { noPermissions, PermissionRequests } from './permission-requests.js';
import { Task } from './task.js';
import { noRules } from './task-rules.js';
import type { CarriedTask, WorkflowState } from './task-state.js';

/** Opens the task from its input or its carried state, and answers signals, queries and updates from now on. */
export function openTask(spec: TaskSpec, carried?: CarriedTask): Task {
  const state = carried ? stateOf(carried) : firstState(spec);
  const outbox = new Outbox(() => state.closing, uuid4, state.outbox);
  const permissions = new PermissionRequests(
    spec.approvals,
    (decision) => outbox.decision(decision),
    (why) => task.warn(why),
    state.permissions,
  );
  const hookRequests = new PendingHookRequests(state.hookRequests);
  // The server keeps the summary of the start with the first run; the memo goes along.
  const given = carried && workflowInfo().memo?.['summary'];
  const summary = typeof given === 'string' ? cutText(given, BUDGETS.staticSummary) : null;
  const parts = { permissions, hookRequests, outbox };
  const task = new Task(spec, state, parts, { mayAdopt: carried === undefined, summary });
  handleMessages(task);
  if (carried) task.show();
  return task;
}

/** Without the part that is reported separately. */
function stateOf(carried: CarriedTask): WorkflowState {
  const { version: _version, from: _from, spec: _spec, ...state } = carried;
  return state;
}

/** The initial state of a task. */
const firstState = (spec: TaskSpec): WorkflowState => ({
  startedAtMs: Date.now(),
  phase: 'waiting-for-credential',
  status: {
    state: 'waiting-for-credential',
    taskId: spec.taskId,
    threadId: null,
    host: null,
    listener: null,
    model: spec.model,
    seedId: null,
    quarantineId: null,
    pending: [],
    turns: 0,
    usage: contract.NO_USAGE,
    controls: [],
    decidedByRule: { allow: 0, deny: 0 },
    warnings: [],
    ...(spec.ui && { ui: spec.ui }),
  },
  result: { finalMessage: null },
  searchAttributes: false,
  publishedAttributes: {},
  assignment: newAssignment(uuid4()),
  previousHost: null,
  lastEventId: 0,
  waitingForCredentialSinceMs: null,
  refusals: [],
  triesInVain: 0,
  closing: false,
  isEnding: false,
  ending: null,
  refreshing: spec.resume !== null && spec.hooks.onResumeRefresh !== undefined,
  beforeExecuteDone: false,
  seedSavedDone: false,
  keptSpec: null,
  keptInput: null,
  rules: noRules(),
  outbox: emptyOutbox(),
  hookRequests: noHookRequests(),
  permissions: noPermissions(),
});
