import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { setCurrentDetails, setHandler, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { Delivery, Moved, SessionEnd, TaskRef } from '../step-arguments.js';
import * as contract from '../contract.js';
import { parseControl, parseDecision, parseMessage, type TaskSpec } from '../task-input.js';
import type { CarriedTask } from './carry-over.js';
import { describe } from './current-details.js';
import { openErrands, type Errands } from './errands.js';
import { openPermissionDesk, type PermissionDesk } from './permission-desk.js';
import type { Stay } from './stay.js';

/** Everything the workflow knows of its task. Signals write into it, the steps read it. */
export interface Task {
  readonly spec: TaskSpec;
  readonly ref: TaskRef;
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
  searchAttributes: boolean;
  closing: boolean;
  /** `limits.totalMs` is over. */
  overdue: boolean;
  /** The place of `beforeExecute` was reached. */
  executed: boolean;
  /** What `onResumeRefresh` put in the place of the input. */
  refreshed: Partial<TaskSpec>;
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
  /** All of it, for the next run. */
  carry(): CarriedTask;
  /** Its host has let it go. */
  left: boolean;
  /** Codex was launched at its present place. */
  launched: boolean;
  /** When a host that seemed gone was last asked once more, milliseconds since 1970. */
  triedAt: number;
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
  /** Adds to `status.warnings`, of which the newest are kept. */
  warn(text: string): void;
  /** Says what the task waits for; returns the end of that. */
  waitFor(what: string): () => void;
}

interface Outbox {
  readonly isEmpty: boolean;
  /** Of messages. */
  readonly ids: string[];
  answer(answer: contract.ErrandAnswer): void;
  take(ref: TaskRef): Delivery;
  /** Takes back what did not arrive. */
  giveBack(delivery: Delivery): void;
}

/** Opens the task's state and answers signals, queries and the update from now on. */
export function openTask(spec: TaskSpec, carried?: CarriedTask): Task {
  const { workflowId: taskId, firstExecutionRunId: runId } = workflowInfo();
  Object.assign(spec, carried?.refreshed);
  const desk = openPermissionDesk(spec.approvals, carried?.desk);
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
  const seen = new Set<string>(carried?.seen);
  let messages: contract.TaskMessage[] = carried?.messages ?? [];
  let controls: contract.ControlChange[] = carried?.controls ?? [];
  let answers: contract.ErrandAnswer[] = carried?.answers ?? [];
  const errands = openErrands(carried?.errands);
  const waits = new Set<{ what: string }>();
  let interrupt = carried?.interrupt ?? false;
  let closeSent = carried?.closeSent ?? false;
  let newest = carried?.revision ?? 0;

  const task: Task = {
    spec,
    ref: { taskId, runId },
    desk,
    errands,
    status,
    returnsBy: carried?.returnsBy ?? 0,
    left: carried?.left ?? false,
    launched: carried?.launched ?? false,
    triedAt: 0,
    lastEventId: carried?.lastEventId ?? 0,
    moved: carried?.moved ?? null,
    result: carried?.result ?? { finalMessage: null },
    searchAttributes: carried?.searchAttributes ?? false,
    closing: carried?.closing ?? false,
    overdue: false,
    executed: carried?.executed ?? false,
    refreshed: carried?.refreshed ?? {},
    restarts: carried?.restarts ?? 0,
    freed: 0,
    startedAtMs: carried?.startedAtMs ?? Date.now(),
    waitsSinceMs: carried?.waitsSinceMs ?? null,
    stay: carried?.stay ?? null,
    carry: () => ({
      startedAtMs: task.startedAtMs,
      waitsSinceMs: task.waitsSinceMs,
      stay: task.stay,
      phase,
      // The requests come with the desk.
      status: { ...status, pending: [] },
      result: task.result,
      searchAttributes: task.searchAttributes,
      shown,
      restarts: task.restarts,
      returnsBy: task.returnsBy,
      left: task.left,
      launched: task.launched,
      lastEventId: task.lastEventId,
      moved: task.moved,
      revision: newest,
      closing: task.closing,
      closeSent,
      interrupt,
      messages,
      controls,
      answers,
      errands: errands.carry(),
      executed: task.executed,
      refreshed: task.refreshed,
      seen: [...seen],
      desk: desk.carry(),
    }),
    outbox: {
      get isEmpty() {
        const toClose = task.closing && !closeSent;
        const waiting = messages.length + controls.length + answers.length;
        return waiting === 0 && !interrupt && !toClose && !desk.hasDecisions;
      },
      get ids() {
        return messages.map(({ messageId }) => messageId);
      },
      answer: (answer) => void answers.push(answer),
      take(ref) {
        const delivery = {
          ref,
          messages,
          answers,
          controls,
          interrupt,
          close: task.closing,
          decisions: desk.takeDecisions(),
        };
        messages = [];
        answers = [];
        controls = [];
        interrupt = false;
        closeSent = task.closing;
        return delivery;
      },
      giveBack(delivery) {
        messages = [...delivery.messages, ...messages];
        controls = [...delivery.controls, ...controls];
        answers = [...delivery.answers, ...answers];
        interrupt ||= delivery.interrupt;
        closeSent = false;
        desk.giveBack(delivery.decisions);
      },
    },
    enter(state) {
      phase = state;
      task.show();
    },
    report({ revision, activity, warnings = [], warning, ...rest }) {
      if (warning !== undefined) task.warn(warning);
      if (revision <= newest) return;
      newest = revision;
      Object.assign(status, rest);
      addWarnings(status, warnings);
      if (MOVED_BY_REPORTS.has(phase)) phase = activity;
      task.show();
    },
    show() {
      status.pending = [...desk.open.values()];
      const asks = status.pending.length > 0 && (phase === 'running' || phase === 'idle');
      status.state = asks ? 'waiting-for-permission' : phase;
      setCurrentDetails(describe(status));
      if (task.searchAttributes) upsertChanged(status, shown);
    },
    warn(text) {
      status.warnings = [...status.warnings, text].slice(-MAX_WARNINGS);
    },
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

  setHandler(contract.sendMessageSignal, (message) => tolerate(() => takeMessage(message)), {
    description: 'A message for codex, taken once by its messageId',
  });
  setHandler(contract.interruptSignal, () => void (interrupt = true), {
    description: 'Interrupt the running turn',
  });
  setHandler(contract.closeSignal, () => void (task.closing = true), { description: 'End the task' });
  setHandler(contract.setControlSignal, (change) => tolerate(() => controls.push(parseControl(change))), {
    description: 'Set model or reasoning_effort from the next turn on',
  });
  setHandler(contract.permissionRequestedSignal, (request) => {
    desk.request(request, Date.now());
    task.show();
  });
  setHandler(contract.permissionSettledSignal, (settled) => {
    desk.settle(settled);
    task.show();
  });
  setHandler(contract.permissionsRecordedSignal, (records) => {
    for (const { requestId, behavior } of records)
      if (desk.record(requestId)) status.decidedByRule[behavior]++;
  });
  setHandler(contract.permissionDecisionSignal, (decision) =>
    tolerate(() => {
      desk.decideSoon({ decidedBy: 'signal', ...parseDecision(decision) });
      task.show();
    }),
  );
  setHandler(contract.hostRestartedSignal, ({ hostId }) => {
    if (hostId !== status.host) return;
    task.restarts++;
    task.returnsBy = 0;
  });
  setHandler(contract.credentialFreeSignal, () => void task.freed++);
  setHandler(contract.hostLeftSignal, ({ hostId }) => {
    if (hostId === status.host) task.left = true;
  });
  setHandler(contract.sessionChangedSignal, (report) => task.report(report));
  setHandler(contract.errandSignal, (errand) => errands.take(errand));
  setHandler(
    contract.decidePermissionUpdate,
    (decision) => {
      desk.decide({ decidedBy: 'update', ...decision });
      task.show();
      return { requestId: decision.requestId, behavior: decision.behavior };
    },
    {
      validator(decision) {
        const { requestId } = parseDecision(decision);
        const refusal = desk.refusal(requestId);
        if (refusal) throw new Error(`Permission request ${requestId} is ${refusal}`);
      },
      description: 'Decide an open permission request',
    },
  );
  if (carried) task.show();
  setHandler(contract.stateQuery, () => status);
  setHandler(contract.pendingPermissionsQuery, () => [...desk.open.values()]);
  return task;

  function takeMessage(argument: unknown): void {
    const message = parseMessage(argument);
    if (seen.has(message.messageId)) return;
    seen.add(message.messageId);
    if (seen.size > MESSAGE_IDS) seen.delete(seen.values().next().value!);
    messages.push(message);
  }

  /** A malformed signal must not stop the task: it is dropped and said. */
  function tolerate(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      task.warn(`Signal ignored: ${(error as Error).message}`);
    }
  }
}

/** What the host's last word says about the result. */
export function takeEnd(task: Task, { report, finalMessage, finalMessageTruncated }: SessionEnd): void {
  task.report(report);
  task.result.finalMessage = finalMessage;
  if (finalMessageTruncated) task.result.finalMessageTruncated = true;
}

/** What the host says again counts once. */
export function addWarnings(status: contract.TaskStatus, warnings: readonly string[]): void {
  const fresh = warnings.filter((warning) => !status.warnings.includes(warning));
  if (fresh.length > 0) status.warnings = [...status.warnings, ...fresh].slice(-MAX_WARNINGS);
}

/** States that the host's word moves on. */
const MOVED_BY_REPORTS = new Set<contract.TaskState>(['starting', 'idle', 'running', 'recovering']);
const MESSAGE_IDS = 1_000;
const MAX_WARNINGS = 20;

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const ATTRIBUTES = {
  state: keyword('CodexState'),
  model: keyword('CodexModel'),
  seedId: keyword('CodexSeed'),
  host: keyword('CodexHost'),
  quarantineId: keyword('CodexQuarantine'),
};

function upsertChanged(status: contract.TaskStatus, shown: Record<string, string | null>): void {
  const names = Object.keys(ATTRIBUTES) as (keyof typeof ATTRIBUTES)[];
  const changed = names.filter((name) => status[name] !== (shown[name] ?? null));
  if (changed.length === 0) return;
  for (const name of changed) shown[name] = status[name];
  upsertSearchAttributes(changed.map((name) => ({ key: ATTRIBUTES[name], value: status[name] })));
}
