import { setCurrentDetails, uuid4, workflowInfo } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets.js';
import { boundReport } from '../budgets/bound-report.js';
import type { Kept, Moved, SessionEnd, TaskRef } from '../step-arguments.js';
import * as contract from '../contract.js';
import type { TaskSpec } from '../task-input.js';
import { answerSignals } from './answer-signals.js';
import { CARRIED_VERSION, type CarriedTask } from './carry-over.js';
import { describe } from './current-details.js';
import { openErrands, type Errands } from './errands.js';
import { noteEpoch } from './lease-epoch.js';
import { openOutbox, type Outbox } from './outbox.js';
import { openPermissionDesk, type PermissionDesk } from './permission-desk.js';
import { upsertChanged } from './shown-attributes.js';
import { carryEnding, endingFrom, type Ending } from './tear-down.js';
import { addWarning, addWarnings, boundStatus } from './status-budget.js';
import type { Refusal } from './refusals.js';
import type { Stay } from './stay.js';

/** Everything the workflow knows of its task. Signals write into it, the steps read it. */
export interface Task {
  readonly spec: TaskSpec;
  /** Names the stay that it has or looks for. */
  ref: TaskRef;
  readonly desk: PermissionDesk;
  /** What the host asks hooks. */
  readonly errands: Errands;
  /** What is still to be delivered to the host. */
  readonly outbox: Outbox;
  readonly status: contract.TaskStatus;
  result: Pick<
    contract.CodexTaskResult,
    'finalMessage' | 'finalMessageTruncated' | 'snapshotId' | 'capturedSeedId'
  >;
  /** Those that the namespace has; `true`: all. */
  searchAttributes: boolean | string[];
  closing: boolean;
  /** Its end has begun: nothing is delivered any more. */
  isOver: boolean;
  /** `limits.totalMs` is over. */
  overdue: boolean;
  /** The place of `beforeExecute` was reached. */
  executed: boolean;
  /** `onResumeRefresh` is to be asked what the task begins with. */
  refreshing: boolean;
  /** How it ended, while its last hooks are called. */
  ending: Ending | null;
  /** `onSeedSaved` has answered. */
  seedTold: boolean;
  /** Fields of the input that stand empty in `spec`, in the database. */
  keptSpec: Kept | null;
  /** The input as it was given, where a run goes on with which it did not begin. */
  keptInput: Kept | null;
  /** How often its host said that it took the task up again. */
  restarts: number;
  /** Until when the host said that it may be away, in milliseconds since the epoch. */
  returnsBy: number;
  /** How often a worker said that a seed is free for it. */
  freed: number;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  waitsSinceMs: number | null;
  /** Null: it has no host. */
  stay: Stay | null;
  /** Steps that this run of the workflow began. */
  steps: number;
  /** Hosts that could not do a step of this task before codex ran. */
  refusals: Refusal[];
  /** Stays in a row on which codex did not come to run. */
  vain: number;
  /** All of it, for the next run. */
  carry(): CarriedTask;
  /** No stay of this run has begun: one that a run before it left may go on. */
  mayAdopt: boolean;
  /** Its host has let it go. */
  left: boolean;
  /** Codex was launched at its present place. */
  launched: boolean;
  /** Takes the word of a host that may not take it, while it claims one. */
  claimRefused: ((refusal: contract.ClaimRefused) => void) | null;
  /** When a host that seemed gone was last asked once more, milliseconds since 1970. */
  triedAt: number;
  /** What the session does, by the last word of its host. */
  activity: contract.SessionReport['activity'];
  /** The newest event id that a host told of. */
  lastEventId: number;
  /** What the present host is told of the one before; null: it is the first. */
  moved: Moved | null;
  /** Moves on; what the query `state`, the search attributes and the details show follows. */
  enter(state: contract.TaskState): void;
  /** Takes over what the host reported. */
  report(report: contract.SessionReport): void;
  /** Shows a change made in `status`. */
  show(): void;
  /** Adds to `status.warnings`, of which the newest are kept, each with a limit. */
  warn(text: string): void;
  /** Says what the task waits for; returns the end of that. */
  waitFor(what: string): () => void;
}

/** Opens the task's state and answers signals, queries and the update from now on. */
export function openTask(spec: TaskSpec, carried?: CarriedTask): Task {
  const { workflowId: taskId, firstExecutionRunId: runId } = workflowInfo();
  const outbox = openOutbox(() => task.closing, uuid4, carried?.outbox);
  const refused = (why: string) => task.warn(why);
  const desk = openPermissionDesk(
    spec.approvals,
    (decision) => outbox.decision(decision),
    refused,
    carried?.desk,
  );
  // The server keeps the summary of the start with the first run; the memo goes along.
  const given = carried && workflowInfo().memo?.['summary'];
  const summary = typeof given === 'string' ? cutText(given, BUDGETS.staticSummary) : null;
  const status: contract.TaskStatus = carried?.status ?? {
    state: 'waiting-for-credential',
    taskId,
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
  };
  let phase: contract.TaskState = carried?.phase ?? 'waiting-for-credential';
  const shown: Record<string, string | null> = { ...carried?.shown };
  const errands = openErrands(carried?.errands);
  const waits = new Set<{ what: string }>();
  let asksSince: number | null = null;
  let newest = carried?.newest ?? { stayId: '', revision: 0 };
  /** The desk's version that `status.pending` shows. */
  let pendingOf = -1;

  const task: Task = {
    spec,
    ref: { taskId, runId, stayId: carried?.stayId ?? uuid4() },
    desk,
    errands,
    status,
    returnsBy: carried?.returnsBy ?? 0,
    mayAdopt: carried === undefined,
    left: carried?.left ?? false,
    launched: carried?.launched ?? false,
    claimRefused: null,
    triedAt: 0,
    activity: carried?.activity ?? 'idle',
    lastEventId: carried?.lastEventId ?? 0,
    moved: carried?.moved ?? null,
    result: carried?.result ?? { finalMessage: null },
    searchAttributes: carried?.searchAttributes ?? false,
    closing: carried?.closing ?? false,
    isOver: carried?.ending != null,
    overdue: false,
    executed: carried?.executed ?? false,
    refreshing: carried?.refreshing ?? (spec.resume !== null && spec.hooks.onResumeRefresh !== undefined),
    ending: carried?.ending ? endingFrom(carried.ending) : null,
    seedTold: carried?.seedTold ?? false,
    keptSpec: carried?.keptSpec ?? null,
    keptInput: carried?.keptInput ?? null,
    restarts: carried?.restarts ?? 0,
    freed: 0,
    startedAtMs: carried?.startedAtMs ?? Date.now(),
    waitsSinceMs: carried?.waitsSinceMs ?? null,
    stay: carried?.stay ?? null,
    steps: 0,
    refusals: carried?.refusals ?? [],
    vain: carried?.vain ?? 0,
    carry: () => ({
      version: CARRIED_VERSION,
      from: workflowInfo().runId,
      startedAtMs: task.startedAtMs,
      waitsSinceMs: task.waitsSinceMs,
      stay: task.stay,
      stayId: task.ref.stayId,
      refusals: task.refusals,
      vain: task.vain,
      phase,
      status: carriedStatus(),
      result: task.result,
      searchAttributes: task.searchAttributes,
      shown,
      restarts: task.restarts,
      returnsBy: task.returnsBy,
      left: task.left,
      launched: task.launched,
      lastEventId: task.lastEventId,
      moved: task.moved,
      newest,
      activity: task.activity,
      closing: task.closing,
      outbox: task.outbox.carry(),
      errands: errands.carry(),
      executed: task.executed,
      refreshing: task.refreshing,
      ending: task.ending && carryEnding(task.ending),
      seedTold: task.seedTold,
      spec: { ...spec, ui: null },
      keptSpec: task.keptSpec,
      keptInput: task.keptInput,
      desk: desk.carry(),
    }),
    outbox,
    enter(state) {
      phase = state;
      task.show();
    },
    report(report) {
      const bounded = boundReport(report);
      const { stayId, revision, leaseEpoch, activity, warnings = [], warning, ...rest } = bounded;
      if (warning !== undefined) task.warn(warning);
      // What went wrong did, however late it is heard of.
      addWarnings(status, warnings);
      // Each host counts for itself: what an earlier one says late does not count any more.
      const { stayId: present } = task.ref;
      if ((stayId ?? present) !== present) return;
      if (newest.stayId === present && revision <= newest.revision) return;
      newest = { stayId: present, revision };
      if (leaseEpoch !== undefined) noteEpoch(task, leaseEpoch);
      task.activity = activity;
      Object.assign(status, rest);
      if (MOVED_BY_REPORTS.has(phase)) phase = activity;
      task.show();
    },
    show() {
      if (pendingOf !== desk.version) status.pending = [...desk.open.values()];
      pendingOf = desk.version;
      const asks = status.pending.length > 0 && (phase === 'running' || phase === 'idle');
      status.state = asks ? 'waiting-for-permission' : phase;
      setCurrentDetails(describe(status, summary));
      asksSince = asks ? (asksSince ?? Date.now()) : null;
      const isShort = asksSince !== null && Date.now() - asksSince < contract.SHORT_WAIT_MS;
      if (task.searchAttributes)
        upsertChanged(isShort ? { ...status, state: phase } : status, shown, task.searchAttributes);
    },
    warn: (text) => addWarning(status, text),
    waitFor(what) {
      const wait = { what };
      const tell = () => {
        const [oldest] = waits;
        if (oldest) status.waitingFor = oldest.what;
        else delete status.waitingFor;
        task.show();
      };
      waits.add(wait);
      tell();
      return () => {
        waits.delete(wait);
        tell();
      };
    },
  };

  answerSignals(task);
  if (carried) task.show();
  return task;

  /** The requests come with the desk; what was waited for is waited for anew. */
  function carriedStatus(): contract.TaskStatus {
    const { waitingFor: _, ...rest } = status;
    return boundStatus({ ...rest, pending: [] });
  }
}

/** What the host's last word says about the result. */
export function takeEnd(task: Task, { report, finalMessage, finalMessageTruncated }: SessionEnd): void {
  task.report(report);
  task.result.finalMessage = finalMessage;
  if (finalMessageTruncated) task.result.finalMessageTruncated = true;
}

/** States that the host's word moves on. */
const MOVED_BY_REPORTS = new Set<contract.TaskState>(['starting', 'idle', 'running', 'recovering']);
