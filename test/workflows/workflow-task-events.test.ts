import type { ActivateInput, ConcludeActivationInput } from '@temporalio/workflow';
import { beforeEach, expect, it } from 'vitest';
import { interceptors } from '../../src/workflows/query-safety-interceptor.js';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;
type Commands = ConcludeActivationInput['commands'];

const begin: Jobs[number] = { initializeWorkflow: {} };
const signal: Jobs[number] = { signalWorkflow: {} };
const done: Jobs[number] = { resolveActivity: { seq: 1, result: { completed: {} } } };
const neverTaken: Jobs[number] = {
  resolveActivity: {
    result: { failed: { failure: { cause: { timeoutFailureInfo: { timeoutType: 2 } } } } },
  },
};
const overdue: Jobs[number] = {
  resolveActivity: {
    result: { failed: { failure: { cause: { timeoutFailureInfo: { timeoutType: 3 } } } } },
  },
};
const cancelled: Jobs[number] = { resolveActivity: { result: { cancelled: {} } } };
const schedule = (seq: number, cancellationType = 0): Commands[number] => ({
  scheduleActivity: { seq, cancellationType },
});
const cancel = (seq: number): Commands[number] => ({ requestCancelActivity: { seq } });
const show: Commands[number] = { modifyWorkflowProperties: {} };
const patch: Commands[number] = { setPatchMarker: {} };
const child: Commands[number] = { startChildWorkflowExecution: {} };

let tasks: ReturnType<typeof interceptors>;
let seconds = 0;
beforeEach(() => void (tasks = interceptors()));

/** A workflow task that ends at this event of the history. */
function task(historyLength: number, jobs: Jobs, commands: Commands = [], isReplaying = false): void {
  const timestamp = { seconds: ++seconds as never, nanos: 0 };
  const activation = { timestamp, historySizeBytes: seconds as never, historyLength, jobs, isReplaying };
  tasks.internals![0]!.activate!({ activation, batchIndex: 0 }, () => undefined);
  tasks.internals![0]!.concludeActivation!({ commands }, (input) => input);
}

const query = (queryId = 'legacy_query') =>
  tasks.internals![0]!.activate!(
    { activation: { jobs: [{ queryWorkflow: { queryId } }] }, batchIndex: 0 },
    () => undefined,
  );

const AGAIN = /begins again/;

it('fails the task after a query when the history lacks what the one before did', () => {
  task(10, [begin, signal], [show, schedule(1)]);
  query();
  expect(() => task(14, [signal])).toThrow(AGAIN);
});

it.each<[string, number, Jobs, Commands]>([
  ['commands and a signal', 16, [signal], [show, schedule(1)]],
  ['a step’s end', 16, [done], [show]],
  ['a step that nobody took', 15, [neverTaken], [show]],
  [
    'a timer that was set and cancelled',
    15,
    [signal],
    [show, { startTimer: { seq: 1 } }, { cancelTimer: { seq: 1 } }],
  ],
  ['a step that was scheduled and cancelled', 15, [signal], [show, schedule(1), cancel(1)]],
  ['a refused update', 11, [signal], [{ updateResponse: { rejected: {} } }]],
  ['a refused update whose task was recorded', 14, [signal], [{ updateResponse: { rejected: {} } }]],
  ['a refused update beside a command', 15, [signal], [show, { updateResponse: { rejected: {} } }]],
  ['an accepted update', 15, [signal], [{ updateResponse: { accepted: {} } }]],
  ['a patch', 16, [signal], [patch]],
  ['an answer', 15, [signal], [show, { respondToQuery: {} }]],
])('continues after a query when the history has all: %s', (_what, historyLength, jobs, commands) => {
  task(10, [begin, signal], commands);
  query();
  task(historyLength, jobs);
  query();
});

it.each<[string, number, Jobs]>([
  ['two events more', 17, [signal]],
  ['a step that may have begun before its time was over', 16, [overdue]],
  ['a cancelled step', 16, [cancelled]],
])('fails the task after a query when it cannot tell: %s', (_what, historyLength, jobs) => {
  task(10, [begin, signal], [show]);
  query();
  expect(() => task(historyLength, jobs)).toThrow(AGAIN);
});

it.each<[string, number, Commands]>([['what the workflow is not known to do', 40, [child]]])(
  'answers queries once the history explains itself: %s',
  (_what, historyLength, commands) => {
    task(10, [begin, signal], commands);
    task(historyLength, [signal]);
    query();
  },
);

it.each<[string, Commands, Jobs]>([
  ['a patch whose version found no room in the search attribute', [patch], [signal]],
  ['a command of an unknown kind', [child], [signal]],
  ['a job of an unknown kind', [show], [{ resolveChildWorkflowExecution: {} }]],
])('fails the task after a query upon %s, whose events it cannot tell', (_what, commands, jobs) => {
  task(10, [begin, signal], commands);
  query();
  expect(() => task(15, jobs)).toThrow(AGAIN);
});

it('fails the task after a query when the history lacks an empty task', () => {
  task(10, [begin, signal]);
  query();
  expect(() => task(12, [signal])).toThrow(AGAIN);
});

it('does not count without a query of its own', () => {
  task(10, [begin, signal], [show]);
  query('another');
  task(11, [signal]);
});

it('does not count what it replays', () => {
  task(10, [begin, signal], [show], true);
  query();
  task(11, [signal]);
});

it('does not count ends of abandoned activities as acts of a task', () => {
  task(10, [begin, signal], [schedule(1)]);
  task(15, [signal], [cancel(1)]);
  task(20, [signal], [show]);
  query();
  // Completed, its command, the next signal and task; or the step's start and end, and no more than that.
  expect(() => task(25, [signal])).toThrow(AGAIN);
});

it('expects no event for the cancellation of an abandoned activity', () => {
  task(10, [begin, signal], [schedule(1, 2)]);
  task(15, [signal], [cancel(1)]);
  query();
  task(19, [signal]);
});

it('counts exactly again after those ends', () => {
  task(10, [begin, signal], [schedule(1)]);
  task(15, [signal], [cancel(1)]);
  task(22, [signal], [show]);
  task(27, [signal], [show]);
  query();
  task(32, [signal]);
});

const REFUSED = /ask again/;

it('answers no query in the first task after a replay, maybe another worker’s', () => {
  task(10, [begin], [show], true);
  task(15, [signal], [show]);
  expect(() => query()).toThrow(REFUSED);
});

it('answers queries from the second task after a replay', () => {
  task(10, [begin], [show], true);
  task(15, [signal], [show]);
  task(20, [signal], [show]);
  query();
});

it('answers no query in a task after which the history grew unexpectedly', () => {
  task(10, [begin], [show]);
  task(17, [signal], [show]);
  expect(() => query()).toThrow(REFUSED);
});

it('answers queries about a history without open tasks, and in its next task', () => {
  task(10, [begin], [show], true);
  query();
  task(15, [signal], [show]);
  query();
});
