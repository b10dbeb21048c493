import { Context } from '@temporalio/activity';
import { expect, it } from 'vitest';
import { sessionChangedSignal, stateQuery } from '../../src/contract/index.js';
import { TaskError } from '../../src/errors.js';
import type { TaskRef } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle } from './run-task.js';
import { ended, OTHER_HOST, report, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectLocal);

const gone = (): never => {
  throw new TaskError('HostLost', 'the host does not answer');
};

/** A task whose first step that follows it is lost when `lose` is called, and whose later ones wait for `end`. */
function lostOnce(steps: Partial<Stubs>) {
  const followed: TaskRef[] = [];
  let lose: () => void = () => undefined;
  let end: () => void = () => undefined;
  const isLost = new Promise<void>((resolve) => (lose = resolve));
  const isOver = new Promise<void>((resolve) => (end = resolve));
  const whole: Partial<Stubs> = {
    ...steps,
    async followSession(ref: TaskRef) {
      followed.push(ref);
      const beat = Context.current();
      const timer = setInterval(() => beat.heartbeat(), 100);
      try {
        if (followed.length > 1) return await isOver.then(() => ended('closed'));
        return await isLost.then(gone);
      } finally {
        clearInterval(timer);
      }
    },
  };
  const run = (during: (handle: Handle) => Promise<void>) =>
    runTaskOn(temporal.environment, { mode: 'conversation' }, whole, during);
  return { followed, lose: () => lose(), end: () => end(), run };
}

it('shows the activity of its session when its host returns after a silence', async () => {
  const { followed, lose, end, run } = lostOnce({ awaitHost: async () => 'renewed' });
  const { result } = await run(async (handle) => {
    await until('a session', () => followed.length === 1);
    await handle.signal(sessionChangedSignal, report('running'));
    await handle.signal(sessionChangedSignal, report('idle', 1));
    await until('its word', async () => (await handle.query(stateQuery)).turns === 1);
    lose();
    await until('the return', () => followed.length === 2);
    await until('the state', async () => (await handle.query(stateQuery)).state === 'idle');
    // And what the host says then comes before what it said before.
    await handle.signal(sessionChangedSignal, report('running', 1));
    await until('its word', async () => (await handle.query(stateQuery)).state === 'running');
    end();
  });
  expect(result?.outcome).toBe('closed');
});

it('takes reports of the second host whatever their revision, and none of the first', async () => {
  let claims = 0;
  const { followed, lose, end, run } = lostOnce({
    claimHost: async () => ({ hostId: claims++ === 0 ? 'first' : OTHER_HOST }),
  });
  await run(async (handle) => {
    await until('a session', () => followed.length === 1);
    const first = followed[0]!.assignmentId;
    const said = { ...report('running', 1), assignmentId: first, revision: 1_000_000 };
    await handle.signal(sessionChangedSignal, said);
    await until('its word', async () => (await handle.query(stateQuery)).turns === 1);
    lose();
    await until('the second host', () => followed.length === 2);
    const { assignmentId } = followed[1]!;
    expect(assignmentId).not.toBe(first);
    await handle.signal(sessionChangedSignal, { ...report('idle', 2), assignmentId, revision: 1 });
    await handle.signal(sessionChangedSignal, { ...said, revision: 2_000_000, turns: 9 });
    // An older word of the second one.
    await handle.signal(sessionChangedSignal, { ...report('running', 7), assignmentId, revision: 0 });
    await handle.signal(sessionChangedSignal, {
      ...report('idle', 2),
      assignmentId,
      revision: 2,
      progress: { percent: 50, text: '' },
    });
    const status = await until('its last word', async () => {
      const now = await handle.query(stateQuery);
      return now.progress && now;
    });
    expect(status).toMatchObject({ state: 'idle', turns: 2 });
    end();
  });
});

it('adopts the session of the run before a reset, once its host is back', async () => {
  const silences: unknown[] = [];
  const lease = { seedId: 'seed-1', holder: 'h', leaseEpoch: 1 };
  const { calls, handle, result } = await runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    {
      acquireLease: async ({ ref }) => ({
        kind: 'held',
        by: { ...ref, assignmentId: 'before' },
        hostId: `host-${Context.current().info.taskQueue}`,
        generation: 0,
        lease,
        ttlMs: 20_000,
        searchAttributes: false,
      }),
      async followSession() {
        silences.push(Context.current().info.heartbeatTimeoutMs);
        return ended('completed');
      },
    },
  );
  expect([result?.outcome, silences]).toEqual(['completed', [20_000]]);
  const { events = [] } = await handle.fetchHistory();
  const onHost = events?.flatMap(({ activityTaskScheduledEventAttributes: step }) =>
    step?.taskQueue?.name?.startsWith('codex-host.')
      ? [step.scheduleToStartTimeout?.seconds?.toString()]
      : [],
  );
  // One that nobody takes ends.
  expect(new Set(onHost)).toEqual(new Set(['15']));
  expect(calls).not.toContain('claimHost');
});

it('ends the assignment of an earlier task of its id before its own starts', async () => {
  const yielded: TaskRef[] = [];
  const before = { taskId: 't', runId: 'earlier', assignmentId: 'before' };
  const { calls, result } = await runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    {
      acquireLease: async () =>
        yielded.length > 0
          ? { kind: 'no-seed', searchAttributes: false }
          : {
              kind: 'held',
              by: before,
              hostId: `host-${Context.current().info.taskQueue}`,
              generation: 0,
              lease: null,
              searchAttributes: false,
            },
      yieldAssignment: async (ref) => void yielded.push(ref),
    },
  );
  expect([result?.outcome, yielded]).toEqual(['completed', [before]]);
  expect(calls.indexOf('yieldAssignment')).toBeLessThan(calls.indexOf('claimHost'));
});

it('releases at its end the lease that its host acquired again', async () => {
  const released: unknown[] = [];
  const lease = { seedId: 'seed-1', holder: 'h', leaseEpoch: 5 };
  const { result } = await runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    {
      saveCredential: async () => ({ warnings: [], quarantineId: null, lease }),
      releaseLease: async (given) => void released.push(given),
    },
  );
  expect(result?.outcome).toBe('completed');
  expect(released).toEqual([lease]);
});
