import { Context } from '@temporalio/activity';
import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { idempotentActivities, stepId, whenUnwanted } from '../../src/activities/idempotent-activities.js';

/** Attempts of one step. */
const attempt = (number: number, activityId = 'a') =>
  new MockActivityEnvironment(
    { attempt: number, activityId, workflowExecution: { workflowId: 't1', runId: 'r1' } },
    { logger: new DefaultLogger('ERROR') },
  );

/** A step whose runs end when the test says so. */
function heldStep() {
  const runs: { attempt: number; end: (answer: string) => void; fail: (error: Error) => void }[] = [];
  const step = () =>
    new Promise<string>((end, fail) => runs.push({ attempt: Context.current().info.attempt, end, fail }));
  return { runs, step };
}

describe('an activity', () => {
  it('heartbeats while it runs', async () => {
    const environment = attempt(1);
    const { step } = idempotentActivities({
      step: () => new Promise<void>((resolve) => environment.once('heartbeat', () => resolve())),
    });
    await environment.run(step);
  });

  it('heartbeats while it waits for an earlier attempt', async () => {
    const { runs, step } = heldStep();
    const steps = idempotentActivities({ step });
    const first = attempt(1).run(steps.step);
    const retry = attempt(2);
    const beats = new Promise((resolve) => retry.once('heartbeat', resolve));
    const second = retry.run(steps.step);
    await beats;
    runs[0]!.end('done');
    expect(await Promise.all([first, second])).toEqual(['done', 'done']);
  });

  it('does not run next to an earlier attempt but shares its result', async () => {
    const { runs, step } = heldStep();
    const steps = idempotentActivities({ step });
    const first = attempt(1).run(steps.step);
    const second = attempt(2).run(steps.step);
    runs[0]!.end('the first');
    expect(await Promise.all([first, second])).toEqual(['the first', 'the first']);
    expect(runs).toHaveLength(1);
  });

  it('runs after the failures of earlier attempts, one after another', async () => {
    const { runs, step } = heldStep();
    const steps = idempotentActivities({ step });
    const [first, second, third] = [1, 2, 3].map((number) => attempt(number).run(steps.step));
    expect(runs).toHaveLength(1);
    runs[0]!.fail(new Error('lost'));
    await expect(first).rejects.toThrow('lost');
    await Promise.resolve();
    expect(runs.map((run) => run.attempt)).toEqual([1, 2]);
    runs[1]!.end('the second');
    expect(await Promise.all([second, third])).toEqual(['the second', 'the second']);
    expect(runs).toHaveLength(2);
  });

  it('runs again when it is retried after its end', async () => {
    let runs = 0;
    const { step } = idempotentActivities({ step: () => Promise.resolve(++runs) });
    expect(await attempt(1).run(step)).toBe(1);
    expect(await attempt(2).run(step)).toBe(2);
  });

  it('marked as once returns its first result when it is retried after its end', async () => {
    let runs = 0;
    const { step } = idempotentActivities({ step: () => Promise.resolve(++runs) }, ['step']);
    expect(await attempt(1).run(step)).toBe(1);
    expect(await attempt(2).run(step)).toBe(1);
    expect(await attempt(1, 'b').run(step)).toBe(2);
  });

  it('marked as once runs again after a failure', async () => {
    let runs = 0;
    const step = () => (++runs === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve(runs));
    const steps = idempotentActivities({ step }, ['step']);
    await expect(attempt(1).run(steps.step)).rejects.toThrow('not yet');
    expect(await attempt(2).run(steps.step)).toBe(2);
  });

  it('has one id for all its attempts', async () => {
    const idOf = (environment: MockActivityEnvironment) => environment.run(() => Promise.resolve(stepId()));
    expect(await idOf(attempt(2))).toBe(await idOf(attempt(1)));
    expect(await idOf(attempt(1, 'b'))).not.toBe(await idOf(attempt(1)));
  });
});

describe('an attempt', () => {
  const unwantedAfter = (cancel: (environment: MockActivityEnvironment) => void) => {
    const environment = attempt(1);
    return environment.run(() => {
      const signal = whenUnwanted();
      expect(signal.aborted).toBe(false);
      cancel(environment);
      expect(Context.current().cancellationSignal.aborted).toBe(true);
      return Promise.resolve(signal.aborted);
    });
  };

  it('continues after Temporal has given it up, and its retry gets the result', async () => {
    const notFound = new ActivityCancellationDetails({ notFound: true });
    const timedOut = new ActivityCancellationDetails({ timedOut: true });
    expect(await unwantedAfter(({ cancel }) => cancel('NOT_FOUND', notFound))).toBe(false);
    expect(await unwantedAfter(({ cancel }) => cancel('TIMED_OUT', timedOut))).toBe(false);
  });

  it('continues when an operator pauses or resets it, and its result counts', async () => {
    const paused = new ActivityCancellationDetails({ paused: true });
    const reset = new ActivityCancellationDetails({ reset: true });
    expect(await unwantedAfter(({ cancel }) => cancel('PAUSED', paused))).toBe(false);
    expect(await unwantedAfter(({ cancel }) => cancel('RESET', reset))).toBe(false);
    const both = new ActivityCancellationDetails({ paused: true, cancelRequested: true });
    expect(await unwantedAfter(({ cancel }) => cancel('CANCELLED', both))).toBe(true);
  });

  it('aborts when the workflow or the worker cancels the activity', async () => {
    const cancelled = new ActivityCancellationDetails({ cancelRequested: true });
    const goes = new ActivityCancellationDetails({ workerShutdown: true });
    expect(await unwantedAfter(({ cancel }) => cancel('CANCELLED', cancelled))).toBe(true);
    expect(await unwantedAfter(({ cancel }) => cancel('WORKER_SHUTDOWN', goes))).toBe(true);
  });
});
