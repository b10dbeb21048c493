import {
  ApplicationFailure,
  setDefaultSignalHandler,
  setHandler,
  type SignalDefinition,
} from '@temporalio/workflow';
import * as contract from '../contract/index.js';
import { refusalText } from '../input/decision-refusals.js';
import { BUDGETS, cutText, jsonBytes } from '../budgets/budgets.js';
import { Unreadable } from '../codec/unreadable.js';
import * as host from '../input/host-words.js';
import { parseControl, parseDecision, parseMessage, parseRules } from '../input/parse-task-input.js';
import { takeBatch } from './signal-batch-interceptor.js';
import { mustRead, readOnce } from './readable.js';
import { boundStatus } from './status-budget.js';
import type { Task } from './task.js';
import { changeRules } from './task-rules.js';
import { noteLeaseTaken } from './lease-epoch.js';
import { isTooLate, reportTooLate } from './too-late.js';

type Contract = typeof contract;
/** Every signal of the contract, by the name of its export. */
type SignalKey = {
  [K in keyof Contract]: Contract[K] extends SignalDefinition<infer _Arguments> ? K : never;
}[keyof Contract];
type ArgumentOf<K extends SignalKey> = Contract[K] extends SignalDefinition<[infer A]> ? A : void;

/** Handles a signal, given only what `parse` made of its first argument; further arguments are ignored. */
interface Door<A> {
  /** @throws TaskError `BadInput` that says what was expected */
  readonly parse: (argument: unknown) => A;
  readonly act: (task: Task, argument: A) => void;
  /** Larger signals are refused; default `BUDGETS.signal`. */
  readonly maxBytes?: number;
  /** Shown in Temporal's UI. */
  readonly description?: string;
}

/** Takes no argument, whatever is sent. */
const nothing = () => undefined;

/** One handler for each signal of the contract: a new signal does not compile without one. */
const DOORS: { readonly [K in SignalKey]: Door<ArgumentOf<K>> } = {
  sendMessageSignal: {
    parse: parseMessage,
    // The outbox has large messages stored.
    maxBytes: Infinity,
    act(task, message) {
      if (task.outbox.message(message) && task.state.isEnding)
        reportTooLate(task, `Message ${message.messageId}`);
    },
    description: 'A message for codex, taken once by its messageId',
  },
  interruptSignal: {
    parse: nothing,
    act(task) {
      if (isTooLate(task)) reportTooLate(task, 'Interrupt');
      else task.outbox.interrupt();
    },
    description: 'Interrupt the running turn',
  },
  closeSignal: {
    parse: nothing,
    act: (task) => void (task.state.closing = true),
    description: 'End the task',
  },
  setControlSignal: {
    parse: parseControl,
    act(task, change) {
      if (isTooLate(task)) reportTooLate(task, `Setting ${change.id}`);
      else task.outbox.control(change);
    },
    description: 'Set model or reasoning_effort from the next turn on',
  },
  permissionDecisionSignal: {
    parse: parseDecision,
    act(task, decision) {
      if (isTooLate(task)) return reportTooLate(task, `Decision on ${decision.requestId}`);
      task.permissions.decideSoon({ decidedBy: 'signal', ...decision }, Date.now());
      task.show();
    },
    description: 'Decide a permission request',
  },
  setRulesSignal: {
    parse: parseRules,
    act(task, change) {
      if (isTooLate(task)) reportTooLate(task, 'Rules');
      else changeRules(task, change);
    },
    description: 'Add permission rules to the task, or take some away',
  },
  permissionRequestedSignal: {
    parse: host.parseRequest,
    act(task, request) {
      task.permissions.request(request, Date.now());
      task.show();
    },
  },
  permissionSettledSignal: {
    parse: host.parseSettled,
    act(task, settled) {
      task.permissions.settle(settled);
      task.show();
    },
  },
  permissionsRecordedSignal: {
    parse: host.parseRecords,
    act(task, records) {
      const decidedByRule = { ...task.state.status.decidedByRule };
      for (const { requestId, behavior } of records)
        if (task.permissions.record(requestId)) decidedByRule[behavior]++;
      task.update({ decidedByRule });
    },
  },
  hostRestartedSignal: {
    parse: host.parseRestart,
    act(task, { hostId, lease }) {
      const { assignment } = task.state;
      if (hostId !== assignment.hostId) return;
      if (lease) noteLeaseTaken(assignment, lease);
      assignment.hostRestarts++;
      assignment.expectedBackAt = 0;
    },
  },
  taskEvictedSignal: {
    parse: host.parseHost,
    act(task, { hostId }) {
      const { assignment } = task.state;
      if (hostId === assignment.hostId) assignment.evicted = true;
    },
  },
  claimRefusedSignal: {
    parse: host.parseClaimRefused,
    act: (task, refusal) => task.run.claimRefused?.(refusal),
  },
  seedAvailableSignal: { parse: nothing, act: (task) => void task.run.seedAvailableCount++ },
  sessionChangedSignal: { parse: host.parseReport, act: (task, report) => task.report(report) },
  hookRequestedSignal: {
    parse: host.parseHookRequest,
    act: ({ hookRequests }, hookRequest) => hookRequests.take(hookRequest),
  },
};

const KEYS = Object.keys(DOORS) as SignalKey[];

/**
 * Handles signals, queries and updates from now on. No message can fail the workflow task: Temporal would retry it
 * for ever, and a cancellation comes only after what failed it.
 */
export function handleMessages(task: Task): void {
  const { permissions, outbox } = task;
  const byName = new Map(KEYS.map((key) => [contract[key].name, key]));
  // Handlers set one by one would change the order of signals from before the first workflow task.
  const takeNamed = (name: string, argument: unknown) => {
    const key = byName.get(name);
    if (key) take(key, argument);
    else ignore(name, 'a task has no such signal');
  };
  setDefaultSignalHandler((name, ...args) => {
    if (!takeBatch(name, args, takeNamed)) takeNamed(name, args[0]);
  });
  for (const key of KEYS) {
    const { description } = DOORS[key];
    const signal: SignalDefinition<unknown[]> = contract[key];
    setHandler(signal, (argument) => take(key, argument), description === undefined ? {} : { description });
  }

  setHandler(
    contract.decidePermissionUpdate,
    (value) =>
      answered(parseDecision, value, (decision) => {
        const { requestId } = decision;
        // Another update may have settled the request since it was checked.
        if (!permissions.decide({ decidedBy: 'update', ...decision }))
          throw new Error(refusalText(requestId, permissions.refusal(requestId) ?? 'settled'));
        task.show();
        return { requestId, behavior: decision.behavior };
      }),
    {
      validator(value) {
        const decision = parseDecision(value);
        const { requestId } = decision;
        const missing = permissions.fault(decision);
        const refusal = isTooLate(task)
          ? 'ending'
          : (permissions.refusal(requestId) ?? (missing === null ? null : { missing }));
        if (refusal) throw new Error(refusalText(requestId, refusal));
      },
      description: 'Decide an open permission request',
    },
  );
  setHandler(
    contract.sendUpdate,
    (value) =>
      answered(parseMessage, value, (message) => {
        outbox.message(message);
        return { messageId: message.messageId };
      }),
    {
      validator(value) {
        const { messageId } = parseMessage(value);
        if (jsonBytes(value) > BUDGETS.signal)
          throw new Error(`message: expected at most ${BUDGETS.signal} bytes`);
        if (!isTooLate(task) || outbox.hasSent(messageId)) return;
        const why = `Task ${task.spec.taskId} takes no more messages: it is ${task.state.isEnding ? 'ending' : 'closing'}`;
        throw ApplicationFailure.nonRetryable(why, 'NotFound');
      },
      description: 'A message for codex, taken once by its messageId; refused once the task is closing',
    },
  );
  answerQueries(task);

  function take<K extends SignalKey>(key: K, given: unknown): void {
    const { parse, act, maxBytes = BUDGETS.signal }: Door<ArgumentOf<K>> = DOORS[key];
    const argument = readOnce(given);
    try {
      if (argument instanceof Unreadable) throw new Error(argument.why);
      if (jsonBytes(argument) > maxBytes) throw new Error(`expected at most ${maxBytes} bytes`);
      act(task, parse(argument));
    } catch (error) {
      ignore(contract[key].name, error instanceof Error ? error.message : String(error));
    }
  }

  function ignore(name: string, why: string): void {
    task.warn(`Signal ${cutText(name, MAX_NAME)} ignored: ${cutText(why, MAX_REASON)}`);
  }
}

function answerQueries({ state, permissions }: Task): void {
  setHandler(contract.stateQuery, () => boundStatus(state.status));
  setHandler(contract.rulesQuery, () => state.rules.rules);
  setHandler(contract.pendingPermissionsQuery, () => [...permissions.open.values()]);
}

/** Wraps errors: any other error in an update handler fails the workflow task. */
function answered<A, T>(parse: (value: unknown) => A, value: unknown, act: (argument: A) => T): T {
  const read = mustRead(value);
  try {
    return act(parse(read));
  } catch (error) {
    const { message } = error as Error;
    throw ApplicationFailure.nonRetryable(cutText(message, MAX_REASON));
  }
}

/** In bytes: a warning has at most 2 KiB together with the text around these. */
const MAX_NAME = 256;
const MAX_REASON = 1_600;
