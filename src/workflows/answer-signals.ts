import {
  ApplicationFailure,
  setDefaultSignalHandler,
  setHandler,
  type SignalDefinition,
} from '@temporalio/workflow';
import * as contract from '../contract.js';
import { BUDGETS, cutText, jsonBytes } from '../budgets.js';
import * as host from '../input/host-words.js';
import { parseControl, parseDecision, parseMessage } from '../task-input.js';
import { boundStatus } from './status-budget.js';
import type { Task } from './task.js';

type Contract = typeof contract;
/** Every signal of the contract, by the name of its export. */
type SignalKey = {
  [K in keyof Contract]: Contract[K] extends SignalDefinition<infer _Arguments> ? K : never;
}[keyof Contract];
type ArgumentOf<K extends SignalKey> = Contract[K] extends SignalDefinition<[infer A]> ? A : void;

/** What a signal does, with nothing but what `parse` made of its first argument; further ones are not looked at. */
interface Door<A> {
  /** @throws TaskError `BadInput` that says what was expected */
  readonly parse: (argument: unknown) => A;
  readonly act: (task: Task, argument: A) => void;
  /** Larger ones are not taken; default `BUDGETS.signal`. */
  readonly maxBytes?: number;
  /** Shown in Temporal's UI. */
  readonly description?: string;
}

/** It has no argument, whatever came. */
const nothing = () => undefined;

/** One for each signal of the contract: one that is added there has to be here before it compiles. */
const DOORS: { readonly [K in SignalKey]: Door<ArgumentOf<K>> } = {
  sendMessageSignal: {
    parse: parseMessage,
    // The outbox has large ones stored.
    maxBytes: Infinity,
    act: ({ outbox }, message) => outbox.message(message),
    description: 'A message for codex, taken once by its messageId',
  },
  interruptSignal: {
    parse: nothing,
    act: ({ outbox }) => outbox.interrupt(),
    description: 'Interrupt the running turn',
  },
  closeSignal: {
    parse: nothing,
    act: (task) => void (task.closing = true),
    description: 'End the task',
  },
  setControlSignal: {
    parse: parseControl,
    act: ({ outbox }, change) => outbox.control(change),
    description: 'Set model or reasoning_effort from the next turn on',
  },
  permissionDecisionSignal: {
    parse: parseDecision,
    act(task, decision) {
      task.desk.decideSoon({ decidedBy: 'signal', ...decision });
      task.show();
    },
    description: 'Decide a permission request',
  },
  permissionRequestedSignal: {
    parse: host.parseRequest,
    act(task, request) {
      task.desk.request(request, Date.now());
      task.show();
    },
  },
  permissionSettledSignal: {
    parse: host.parseSettled,
    act(task, settled) {
      task.desk.settle(settled);
      task.show();
    },
  },
  permissionsRecordedSignal: {
    parse: host.parseRecords,
    act({ desk, status }, records) {
      for (const { requestId, behavior } of records)
        if (desk.record(requestId)) status.decidedByRule[behavior]++;
    },
  },
  hostRestartedSignal: {
    parse: host.parseHost,
    act(task, { hostId }) {
      if (hostId !== task.status.host) return;
      task.restarts++;
      task.returnsBy = 0;
    },
  },
  hostLeftSignal: {
    parse: host.parseHost,
    act(task, { hostId }) {
      if (hostId === task.status.host) task.left = true;
    },
  },
  credentialFreeSignal: { parse: nothing, act: (task) => void task.freed++ },
  sessionChangedSignal: { parse: host.parseReport, act: (task, report) => task.report(report) },
  errandSignal: { parse: host.parseErrand, act: ({ errands }, errand) => errands.take(errand) },
};

/**
 * Answers signals, queries and the updates from now on. Nothing that comes can fail the workflow task: it would be
 * tried again for ever, and a cancellation comes after what failed it.
 */
export function answerSignals(task: Task): void {
  const { desk, status } = task;
  for (const key of Object.keys(DOORS) as SignalKey[]) open(key);
  setDefaultSignalHandler((name) => ignore(name, 'a task has no such signal'));

  setHandler(
    contract.decidePermissionUpdate,
    (value) =>
      answered(() => {
        const decision = parseDecision(value);
        desk.decide({ decidedBy: 'update', ...decision });
        task.show();
        return { requestId: decision.requestId, behavior: decision.behavior };
      }),
    {
      validator(value) {
        const decision = parseDecision(value);
        const { requestId } = decision;
        const refusal = desk.refusal(requestId);
        if (refusal) throw new Error(`Permission request ${requestId} is ${refusal}`);
        const fault = desk.fault(decision);
        if (fault) throw new Error(`Permission request ${requestId} stays open: ${fault}`);
      },
      description: 'Decide an open permission request',
    },
  );
  setHandler(contract.stateQuery, () => boundStatus(status));
  setHandler(contract.pendingPermissionsQuery, () => [...desk.open.values()]);

  function open<K extends SignalKey>(key: K): void {
    const { parse, act, maxBytes = BUDGETS.signal, description }: Door<ArgumentOf<K>> = DOORS[key];
    const signal: SignalDefinition<unknown[]> = contract[key];
    const handle = (argument: unknown) => {
      try {
        if (jsonBytes(argument) > maxBytes) throw new Error(`expected at most ${maxBytes} bytes`);
        act(task, parse(argument));
      } catch (error) {
        ignore(signal.name, error instanceof Error ? error.message : String(error));
      }
    };
    setHandler(signal, handle, description === undefined ? {} : { description });
  }

  function ignore(name: string, why: string): void {
    task.warn(`Signal ${cutText(name, MAX_NAME)} ignored: ${cutText(why, MAX_REASON)}`);
  }
}

/** A handler of an update that throws anything else fails the workflow task. */
function answered<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const { message } = error as Error;
    throw ApplicationFailure.nonRetryable(cutText(message, MAX_REASON));
  }
}

/** Bytes: a warning has at most 2 KiB with what is said around these. */
const MAX_NAME = 256;
const MAX_REASON = 1_600;
