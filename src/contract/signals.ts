import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { HookRequest } from './hooks.js';
import type { ClaimRefused, HostRestarted, SessionReport, TaskStatus } from './status.js';
import type {
  PermissionRequest,
  Behavior,
  PermissionDecision,
  PermissionSettled,
  PermissionRecord,
  RulesChange,
  TaskRule,
} from './permissions.js';
import type { TaskMessage, ControlChange } from './messages.js';

/** What a host tells the workflow of a task, by the name of the signal. */
export interface HostSignals {
  permissionRequested: PermissionRequest;
  permissionSettled: PermissionSettled;
  permissionsRecorded: PermissionRecord[];
  hostRestarted: HostRestarted;
  seedAvailable: undefined;
  taskEvicted: { hostId: string };
  claimRefused: ClaimRefused;
  sessionChanged: SessionReport;
  hookRequested: HookRequest;
}

/** One of these signals with what it brings. */
export type HostSignal = {
  [N in keyof HostSignals]: { name: N; argument: HostSignals[N] };
}[keyof HostSignals];

const signalOf = <N extends keyof HostSignals>(name: N) => defineSignal<[HostSignals[N]]>(name);

export const sendMessageSignal = defineSignal<[TaskMessage]>('sendMessage');
export const interruptSignal = defineSignal('interrupt');
export const closeSignal = defineSignal('close');
export const setControlSignal = defineSignal<[ControlChange]>('setControl');
/** Rules for requests from now on, and for those that are open. */
export const setRulesSignal = defineSignal<[RulesChange]>('setRules');
export const permissionRequestedSignal = signalOf('permissionRequested');
export const permissionSettledSignal = signalOf('permissionSettled');
export const permissionsRecordedSignal = signalOf('permissionsRecorded');
export const permissionDecisionSignal = defineSignal<[PermissionDecision]>('permissionDecision');
export const hostRestartedSignal = signalOf('hostRestarted');

/** From a worker: a seed is free for this waiting task. */
export const seedAvailableSignal = defineSignal('seedAvailable');

/** The host saved the task and ended its assignment: it continues on another host. */
export const taskEvictedSignal = signalOf('taskEvicted');

/** A host speaks another version of the activities than the task. */
export const claimRefusedSignal = signalOf('claimRefused');
export const sessionChangedSignal = signalOf('sessionChanged');
export const hookRequestedSignal = signalOf('hookRequested');
export const decidePermissionUpdate = defineUpdate<
  { requestId: string; behavior: Behavior },
  [PermissionDecision]
>('decidePermission');

/** Does what `sendMessage` does, and is refused once the task is closing. */
export const sendUpdate = defineUpdate<{ messageId: string }, [TaskMessage]>('send');

export const stateQuery = defineQuery<TaskStatus>('state');

export const pendingPermissionsQuery = defineQuery<PermissionRequest[]>('pendingPermissions');

/** Rules that were given while the task runs, oldest first. */
export const rulesQuery = defineQuery<TaskRule[]>('rules');
