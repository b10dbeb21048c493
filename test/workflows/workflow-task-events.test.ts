import type { ActivateInput, ConcludeActivationInput } from '@temporalio/workflow';
import { beforeEach, expect, it } from 'vitest';
import { interceptors } from '../../src/workflows/query-safety-interceptor.js';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;
type Commands = ConcludeActivationInput['commands'];

const signal: Jobs[number] = { signalWorkflow: {} };
const done: Jobs[number] = { resolveActivity: { seq: 1, result: { completed: {} } } };
const neverTaken: Jobs[number] = {
  resolveActivity: {
    result: { failed: { failure: { cause: { timeoutFailureInfo: { timeoutType: 2 } } } } },
  },
};
const schedule = (seq: number, cancellationType = 0): Commands[number] => ({
  scheduleActivity: { seq, cancellationType },
});
const cancel = (seq: number): Commands[number] => ({ requestCancelActivity: { seq } });
const show: Commands[number] = { modifyWorkflowProperties: {} };

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

it('begins a task again when a query came and what the one before it did is not in the history', () => {
  task(10, [signal], [show, schedule(1)]);
  query();
  expect(() => task(14, [signal])).toThrow(AGAIN);
});

it.each<[string, number, Jobs, Commands]>([
  ['commands and a signal', 16, [signal], [show, schedule(1)]],
  ['a step’s end', 16, [done], [show]],
  ['a step that nobody took', 14, [neverTaken], []],
  [
    'a timer that was set and cancelled',
    14,
    [signal],
    [{ startTimer: { seq: 1 } }, { cancelTimer: { seq: 1 } }],
  ],
  ['a step that was scheduled and cancelled', 14, [signal], [schedule(1), cancel(1)]],
  ['a refused update', 11, [signal], [{ updateResponse: { rejected: {} } }]],
  ['an accepted update', 15, [signal], [{ updateResponse: { accepted: {} } }]],
  ['an answer', 14, [signal], [{ respondToQuery: {} }]],
])('goes on after a query when all is there: %s', (_what, historyLength, jobs, commands) => {
  task(10, [signal], commands);
  query();
  task(historyLength, jobs);
});

it('does not count where no query came of its own', () => {
  task(10, [signal], [show]);
  query('another');
  task(11, [signal]);
});

it('does not count what it replays', () => {
  task(10, [signal], [show], true);
  query();
  task(11, [signal]);
});

it('does not take the ends of abandoned steps for what a task did', () => {
  task(10, [signal], [schedule(1)]);
  task(15, [signal], [cancel(1)]);
  task(20, [signal], [show]);
  query();
  // Completed, its command, the next signal and task; or the step's start and end, and no more than that.
  expect(() => task(25, [signal])).toThrow(AGAIN);
});

it('expects no event for the cancellation of a step that is left to itself', () => {
  task(10, [signal], [schedule(1, 2)]);
  task(15, [signal], [cancel(1)]);
  query();
  task(19, [signal]);
});

it('counts exactly again when those ends have come', () => {
  task(10, [signal], [schedule(1)]);
  task(15, [signal], [cancel(1)]);
  task(22, [signal], [show]);
  query();
  task(27, [signal]);
});
