import { randomUUID } from 'node:crypto';
import { Notifier } from '../async/notifier.js';
import { readModels, type Models } from '../codex/models.js';
import type {
  ControlChange,
  OutputSchema,
  PermissionDecision,
  PermissionRecord,
  PermissionRequest,
  TaskMessage,
} from '../contract/index.js';
import { NO_USAGE, type SessionReport, type TokenUsage } from '../contract/index.js';
import type { LeaseRef, RulesInForce, TaskRef } from '../contract/activities.js';
import type { TaskSpec } from '../contract/task-spec.js';
import { ModelChoice } from '../session/conversation/model-choice.js';
import type { TurnOutcome } from '../session/recall/turn-outcome.js';
import type { Script, ScriptStep } from './script.js';
import type { TaskSignals } from './task-signals.js';

/** What a scripted task was told, oldest first. */
export interface Heard {
  /** Those of the task's input, of signals, updates and hooks. */
  readonly messages: TaskMessage[];
  /** Decisions on requests that were open, as their host had them. */
  readonly decisions: PermissionDecision[];
  readonly controls: ControlChange[];
  interrupts: number;
  closed: boolean;
  /** The hosts that the task was on. */
  readonly hosts: string[];
  /** The steps that its workflow had done, by their names. */
  readonly steps: string[];
}

export const newHeard = (): Heard => ({
  messages: [],
  decisions: [],
  controls: [],
  interrupts: 0,
  closed: false,
  hosts: [],
  steps: [],
});

/** Why a turn is cut short. */
export type Cut = 'interrupt' | 'close' | 'turn-timed-out';

export interface PlayedTurn {
  readonly id: string;
  /** The message that it began with, and what its answer is to be. */
  readonly messageId: string;
  readonly outputSchema: OutputSchema | undefined;
  cut: Cut | null;
}

/** A task's script under way: what a codex and its host know of it, over all hosts that it is on. */
export interface Play {
  readonly signals: TaskSignals;
  readonly heard: Heard;
  readonly threadId: string;
  readonly workDir: string;
  readonly choice: ModelChoice;
  /** Something came, or the task is to end here. */
  readonly changed: Notifier;
  /** A request opened, of this task or of another one. */
  readonly anyAsked: Notifier;
  /** Milliseconds since the epoch, by the server's clock. */
  readonly now: () => Promise<number>;
  spec: TaskSpec;
  ref: TaskRef;
  lease: LeaseRef | null;
  /** Counts the codexes of the task. */
  incarnation: number;
  /** What the script still has. */
  left: ScriptStep[];
  readonly queue: TaskMessage[];
  turn: PlayedTurn | null;
  /** The turn before. */
  last: TurnOutcome | null;
  /** The request that waits for its decision. */
  open: { readonly request: PermissionRequest; decision: PermissionDecision | null } | null;
  asked: number;
  /** Those that it was given while it runs. */
  rules: RulesInForce;
  /** What rules decided and the workflow has not heard of. */
  records: PermissionRecord[];
  turns: number;
  usage: TokenUsage;
  finalMessage: string | null;
  /** What that is, where it fits the schema of its turn. */
  output: { readonly value: unknown } | undefined;
  lastError: string | undefined;
  isIdleTold: boolean;
  closing: boolean;
  /** The session as the workflow is told of it. */
  report(): SessionReport;
}

const MODELS: Models = readModels(null);

/** What a play begins with. */
export interface PlayStart {
  readonly script: Script;
  readonly signals: TaskSignals;
  readonly heard: Heard;
  readonly spec: TaskSpec;
  readonly ref: TaskRef;
  readonly now: () => Promise<number>;
  readonly anyAsked: Notifier;
}

/** Opens a play before its first step, with the message that the task begins with. */
export function openPlay({ script, signals, heard, spec, ref, now, anyAsked }: PlayStart): Play {
  const play: Play = {
    signals,
    heard,
    threadId: randomUUID(),
    workDir: `/scripted/tasks/${ref.taskId}/work`,
    changed: new Notifier(),
    anyAsked,
    now,
    choice: new ModelChoice({
      models: MODELS,
      model: spec.model ?? MODELS.default,
      effort: spec.effort,
      wantedEffort: null,
      past: [],
      emit(event) {
        if (event.type === 'x-optio-control-update')
          signals.say('sessionChanged', { ...play.report(), controls: event.controls });
      },
    }),
    spec,
    ref,
    lease: null,
    incarnation: 0,
    left: [...script.steps],
    queue: [],
    turn: null,
    last: null,
    open: null,
    asked: 0,
    rules: { revision: 0, rules: [] },
    records: [],
    turns: 0,
    usage: NO_USAGE,
    finalMessage: null,
    output: undefined,
    lastError: undefined,
    isIdleTold: false,
    closing: false,
    report: () => reportOf(play, ++revision),
  };
  let revision = 0;
  return play;
}

function reportOf(play: Play, revision: number): SessionReport {
  const { ref, lease, turn, queue, threadId, choice, turns, usage, lastError } = play;
  return {
    assignmentId: ref.assignmentId,
    ...(lease && { leaseEpoch: lease.leaseEpoch }),
    revision,
    activity: turn || queue.length > 0 ? 'running' : 'idle',
    threadId,
    model: choice.model,
    turns,
    usage,
    ...(lastError !== undefined && { lastError }),
  };
}

/** Tells the workflow what rules decided. */
export function flushRecords(play: Play): void {
  const records = play.records.splice(0);
  if (records.length > 0) play.signals.say('permissionsRecorded', records);
}

/** Resolves when `isSo`. @throws the signal's reason when it aborts before */
export async function untilSo(play: Play, isSo: () => boolean, signal: AbortSignal): Promise<void> {
  while (!isSo()) await play.changed.wait(signal);
}
