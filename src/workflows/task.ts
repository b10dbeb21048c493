import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { setCurrentDetails, setHandler, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { Delivery, Moved, SessionEnd, TaskRef } from '../step-arguments.js';
import * as contract from '../contract.js';
import { parseControl, parseDecision, parseMessage, type TaskSpec } from '../task-input.js';
import { describe } from './current-details.js';
import { openPermissionDesk, type PermissionDesk } from './permission-desk.js';

/** Everything the workflow knows of its task. Signals write into it, the steps read it. */
export interface Task {
  readonly spec: TaskSpec;
  readonly ref: TaskRef;
  readonly desk: PermissionDesk;
  /** What is still to be delivered to the host. */
  readonly outbox: Outbox;
  readonly status: contract.TaskStatus;
  result: Pick<
    contract.CodexTaskResult,
    'finalMessage' | 'finalMessageTruncated' | 'snapshotId' | 'capturedSeedId'
  >;
  searchAttributes: boolean;
  closing: boolean;
  /** How often its host said that it took the task up again. */
  restarts: number;
  /** Until when the host said that it may be away, in milliseconds since the epoch. */
  returnsBy: number;
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
}

interface Outbox {
  readonly isEmpty: boolean;
  take(ref: TaskRef): Delivery;
  /** Takes back what did not arrive. */
  giveBack(delivery: Delivery): void;
}

/** Opens the task's state and answers signals, queries and the update from now on. */
export function openTask(spec: TaskSpec): Task {
  const { workflowId: taskId, firstExecutionRunId: runId } = workflowInfo();
  const desk = openPermissionDesk(spec.approvals);
  const status: contract.TaskStatus = {
    state: 'waiting-for-credential',
    taskId,
    threadId: null,
    host: null,
    listener: null,
    model: spec.model,
    seedId: null,
    pending: [],
    turns: 0,
    usage: contract.NO_USAGE,
    controls: [],
    decidedByRule: { allow: 0, deny: 0 },
    warnings: [],
    ...(spec.ui && { ui: spec.ui }),
  };
  let phase: contract.TaskState = 'waiting-for-credential';
  const shown: Record<string, string | null> = {};
  const seen = new Set<string>();
  let messages: contract.TaskMessage[] = [];
  let controls: contract.ControlChange[] = [];
  let interrupt = false;
  let closeSent = false;
  let newest = 0;

  const task: Task = {
    spec,
    ref: { taskId, runId },
    desk,
    status,
    result: { finalMessage: null },
    searchAttributes: false,
    closing: false,
    restarts: 0,
    returnsBy: 0,
    left: false,
    launched: false,
    triedAt: 0,
    lastEventId: 0,
    moved: null,
    outbox: {
      get isEmpty() {
        const toClose = task.closing && !closeSent;
        return messages.length + controls.length === 0 && !interrupt && !toClose && !desk.hasDecisions;
      },
      take(ref) {
        const delivery = {
          ref,
          messages,
          controls,
          interrupt,
          close: task.closing,
          decisions: desk.takeDecisions(),
        };
        messages = [];
        controls = [];
        interrupt = false;
        closeSent = task.closing;
        return delivery;
      },
      giveBack(delivery) {
        messages = [...delivery.messages, ...messages];
        controls = [...delivery.controls, ...controls];
        interrupt ||= delivery.interrupt;
        closeSent = false;
        desk.giveBack(delivery.decisions);
      },
    },
    enter(state) {
      phase = state;
      task.show();
    },
    report({ revision, activity, warning, ...rest }) {
      if (warning !== undefined) warn(warning);
      if (revision <= newest) return;
      newest = revision;
      Object.assign(status, rest);
      if (MOVED_BY_REPORTS.has(phase)) phase = activity;
      task.show();
    },
    show() {
      status.pending = [...desk.open.values()];
      const waits = status.pending.length > 0 && (phase === 'running' || phase === 'idle');
      status.state = waits ? 'waiting-for-permission' : phase;
      setCurrentDetails(describe(status));
      if (task.searchAttributes) upsertChanged(status, shown);
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
  setHandler(contract.hostLeftSignal, ({ hostId }) => {
    if (hostId === status.host) task.left = true;
  });
  setHandler(contract.sessionChangedSignal, (report) => task.report(report));
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
      warn(`Signal ignored: ${(error as Error).message}`);
    }
  }

  function warn(warning: string): void {
    status.warnings = [...status.warnings, warning].slice(-MAX_WARNINGS);
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
const MESSAGE_IDS = 1_000;
const MAX_WARNINGS = 20;

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const ATTRIBUTES = {
  state: keyword('CodexState'),
  model: keyword('CodexModel'),
  seedId: keyword('CodexSeed'),
  host: keyword('CodexHost'),
};

function upsertChanged(status: contract.TaskStatus, shown: Record<string, string | null>): void {
  const names = Object.keys(ATTRIBUTES) as (keyof typeof ATTRIBUTES)[];
  const changed = names.filter((name) => status[name] !== (shown[name] ?? null));
  if (changed.length === 0) return;
  for (const name of changed) shown[name] = status[name];
  upsertSearchAttributes(changed.map((name) => ({ key: ATTRIBUTES[name], value: status[name] })));
}
