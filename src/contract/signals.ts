import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { HookRequest } from './hooks.js';
import type { ClaimRefused, HostRestarted, SessionReport, TaskStatus } from './status.js';
import type {
  PermissionRequest,
  Behavior,
  PermissionDecision,
  PermissionSettled,
  PermissionRecord,
} from './permissions.js';
import type { TaskMessage, ControlChange } from './messages.js';

export const sendMessageSignal = defineSignal<[TaskMessage]>('sendMessage');
export const interruptSignal = defineSignal('interrupt');
export const closeSignal = defineSignal('close');
export const setControlSignal = defineSignal<[ControlChange]>('setControl');
export const permissionRequestedSignal = defineSignal<[PermissionRequest]>('permissionRequested');
export const permissionSettledSignal = defineSignal<[PermissionSettled]>('permissionSettled');
export const permissionsRecordedSignal = defineSignal<[PermissionRecord[]]>('permissionsRecorded');
export const permissionDecisionSignal = defineSignal<[PermissionDecision]>('permissionDecision');
export const hostRestartedSignal = defineSignal<[HostRestarted]>('hostRestarted');

/** From a worker: a seed is free for this waiting task. */
export const seedAvailableSignal = defineSignal('seedAvailable');

/** The host has let the task go and saved it: it is to go on elsewhere. */
export const taskEvictedSignal = defineSignal<[{ hostId: string }]>('taskEvicted');

/** A host speaks another version of the steps than the task. */
export const claimRefusedSignal = defineSignal<[ClaimRefused]>('claimRefused');
export const sessionChangedSignal = defineSignal<[SessionReport]>('sessionChanged');
export const hookRequestedSignal = defineSignal<[HookRequest]>('hookRequested');
export const decidePermissionUpdate = defineUpdate<
  { requestId: string; behavior: Behavior },
  [PermissionDecision]
>('decidePermission');

/** Does what `sendMessage` does, and is refused once the task is closing. */
export const sendUpdate = defineUpdate<{ messageId: string }, [TaskMessage]>('send');

export const stateQuery = defineQuery<TaskStatus>('state');

export const pendingPermissionsQuery = defineQuery<PermissionRequest[]>('pendingPermissions');
