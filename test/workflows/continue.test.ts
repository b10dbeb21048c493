import { tsToMs } from '@temporalio/common/lib/time.js';
import { describe, expect, it } from 'vitest';
import {
  closeSignal,
  seedAvailableSignal,
  decidePermissionUpdate,
  pendingPermissionsQuery,
  permissionDecisionSignal,
  permissionRequestedSignal,
  sendMessageSignal,
  stateQuery,
  type PermissionDecision,
  type TaskMessage,
} from '../../src/contract/index.js';
import type { Acquired, Delivery } from '../../src/contract/activities.js';
import { elapse } from '../support/elapse.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { saveHistory } from './histories.js';
import { runLongTask } from './long-task.js';
import { useTemporal, type Handle } from './run-task.js';
import { ended, report, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);

const count = (calls: string[], name: string) => calls.filter((each) => each === name).length;

/** A session on the host: it lives on whatever becomes of the steps that look at it. */
function session() {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  const messages: TaskMessage[] = [];
  const decisions: PermissionDecision[] = [];
  const steps = {
    followSession: async () => {
      await Promise.race([over, untilCancelled()]);
      return ended('completed');
    },
    deliver: async (delivery: Delivery) => {
      messages.push(...delivery.messages);
      decisions.push(...delivery.decisions);
      if (delivery.close) end();
      return report('running');
    },
  } satisfies Partial<Stubs>;
  return { steps, messages, decisions, end: () => end() };
}

const ask = (handle: Handle, requestId: string) =>
  handle.signal(permissionRequestedSignal, {
    requestId,
    kind: 'command',
    summary: 'Run ls',
    input: { command: 'ls' },
    openedAt: new Date().toISOString(),
  });

const busy: Acquired = { kind: 'busy', searchAttributes: false };
const leased: Acquired = {
  kind: 'leased',
  lease: { seedId: 'seed-9', holder: 'h', leaseEpoch: 9 },
  searchAttributes: false,
};

describe('a task with a long history', () => {
  it('keeps requests, decisions and messages over further runs, and its host', async () => {
    const { steps, decisions, messages, end } = session();
    const rounds = 40;
    const { calls, result, runs, handle } = await runLongTask(
      temporal.environment,
      { input: { prompt: 'x' }, steps: () => steps },
      async ({ handle }) => {
        await ask(handle, 'open-all-along');
        for (let i = 0; i < rounds; i++) {
          const requestId = `r-${i}`;
          await ask(handle, requestId);
          await handle.signal(sendMessageSignal, { messageId: `m-${i % 7}`, text: 'once' });
          if (i % 2) await handle.signal(permissionDecisionSignal, { requestId, behavior: 'allow' });
          else
            await handle.executeUpdate(decidePermissionUpdate, { args: [{ requestId, behavior: 'allow' }] });
          await until('the decision', () => decisions.length > i);
        }
        const open = await handle.query(pendingPermissionsQuery);
        expect(open.map(({ requestId }) => requestId)).toEqual(['open-all-along']);
        // Told apart from an unknown one, also runs later.
        await expect(
          handle.executeUpdate(decidePermissionUpdate, { args: [{ requestId: 'r-0', behavior: 'deny' }] }),
        ).rejects.toMatchObject({ cause: { message: expect.stringMatching(/r-0 is settled/) as string } });
        expect(await handle.query(stateQuery)).toMatchObject({
          state: 'waiting-for-permission',
          seedId: 'seed-1',
        });
        end();
      },
    );
    expect(result).toMatchObject({ outcome: 'completed', threadId: 'thread-1' });
    expect(decisions.map(({ requestId }) => requestId)).toEqual(
      Array.from({ length: rounds }, (_, i) => `r-${i}`),
    );
    expect(messages.map(({ messageId }) => messageId).sort()).toEqual(
      Array.from({ length: 7 }, (_, i) => `m-${i}`),
    );
    expect(runs.length).toBeGreaterThan(3);
    expect(Math.max(...runs)).toBeLessThan(140);
    for (const once of [
      'acquireLease',
      'prepareWorkdir',
      'launchAppServer',
      'endSession',
      'releaseLease',
      'closeTask',
    ])
      expect([once, count(calls, once)]).toEqual([once, 1]);
    await saveHistory(temporal.environment.client, handle.workflowId, 'continued-last-run');
  });

  it('loses no signal that arrives while a run ends', async () => {
    const { steps, messages, end } = session();
    let sent = 0;
    const { runs } = await runLongTask(
      temporal.environment,
      { input: { prompt: 'x' }, steps: () => steps },
      async ({ handle, calls }) => {
        // A run cannot end while signals come without a pause: the server has it look at them first.
        while (count(calls, 'followSession') < 5) {
          const burst = Array.from({ length: 4 }, () => ({ messageId: `m-${sent++}`, text: 'hi' }));
          await Promise.all(burst.map((message) => handle.signal(sendMessageSignal, message)));
          await until('a delivery', () => messages.length > 0 && messages.length >= sent - 4);
        }
        await until('all messages', () => messages.length >= sent);
        end();
      },
    );
    const ids = Array.from({ length: sent }, (_, i) => `m-${i}`);
    expect(messages.map(({ messageId }) => messageId).sort()).toEqual(ids.sort());
    expect(runs.length).toBeGreaterThan(4);
  });

  it('counts limits.totalMs from its first run', async () => {
    const { steps } = session();
    const [totalMs, firstRunMs] = [20_000, 1_000];
    const { failure, runs, calls, handle } = await runLongTask(
      temporal.environment,
      { input: { prompt: 'x', limits: { totalMs } }, steps: () => steps },
      async ({ handle, calls }) => {
        await elapse(firstRunMs);
        for (let i = 0; count(calls, 'followSession') < 2; i++) {
          await ask(handle, `r-${i}`);
          await handle.query(pendingPermissionsQuery);
        }
      },
    );
    expect(failure).toMatchObject({ type: 'TaskTimedOut' });
    expect(runs.length).toBeGreaterThan(1);
    // Counted from its last run on, the timer that ended it would have been of the whole time.
    const events = (await handle.fetchHistory()).events!;
    const fired = events.findLast((event) => event.timerFiredEventAttributes)!.timerFiredEventAttributes!;
    const timer = events.find(
      ({ timerStartedEventAttributes }) => timerStartedEventAttributes?.timerId === fired.timerId,
    )!;
    const lengthMs = tsToMs(timer.timerStartedEventAttributes!.startToFireTimeout);
    expect(lengthMs).toBeLessThanOrEqual(totalMs - firstRunMs);
    expect(calls.at(-1)).toBe('closeTask');
  });

  it('can be cancelled in every run, and tears down', async () => {
    const { steps } = session();
    const { calls, runs } = await runLongTask(
      temporal.environment,
      { input: { prompt: 'x' }, steps: () => steps },
      async ({ handle, calls }) => {
        for (let i = 0; count(calls, 'followSession') < 2; i++) {
          await ask(handle, `r-${i}`);
          // A run cannot be continued while signals come without any pause.
          await handle.query(pendingPermissionsQuery);
        }
        await handle.cancel();
        await expect(handle.result()).rejects.toThrow();
      },
    );
    expect(runs.length).toBeGreaterThan(1);
    expect(calls.at(-1)).toBe('closeTask');
    expect(count(calls, 'endSession')).toBe(1);
  });
});

describe('a task that waits for a credential', () => {
  it('asks again when a worker reports a free seed, and waits on in later runs', async () => {
    let tries = 0;
    const { steps, end } = session();
    const { runs, result } = await runLongTask(
      temporal.environment,
      {
        input: { prompt: 'x' },
        steps: () => ({ ...steps, acquireLease: async () => (++tries > 15 ? leased : busy) }),
      },
      async ({ handle, calls }) => {
        while (!calls.includes('followSession')) {
          const before = tries;
          await handle.signal(seedAvailableSignal);
          await until('a try', () => tries > before || calls.includes('followSession'));
        }
        expect(await handle.query(stateQuery)).toMatchObject({ state: 'running', seedId: 'seed-9' });
        end();
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(runs.length).toBeGreaterThan(1);
  });
});

describe('a parked task', () => {
  const limited = (resetsAt: string) => ({
    ...ended('completed'),
    end: { kind: 'limited' as const, turnId: 't1', resetsAt },
  });

  it('stays parked in later runs, takes messages, and continues its session', async () => {
    const { steps, messages, end } = session();
    const resetsAt = new Date(Date.now() + 3_600_000).toISOString();
    let follows = 0;
    let tries = 0;
    const { calls, result, runs } = await runLongTask(
      temporal.environment,
      {
        input: { prompt: 'x' },
        steps: () => ({
          ...steps,
          acquireLease: async () => (++tries === 1 || tries > 19 ? leased : busy),
          followSession: async () => (++follows === 1 ? limited(resetsAt) : steps.followSession()),
        }),
      },
      async ({ handle, calls }) => {
        await until('a parked task', () => tries > 1);
        await handle.signal(sendMessageSignal, { messageId: 'a', text: 'waits' });
        while (tries <= 19) {
          const before = tries;
          const { state, parkedUntil, seedId } = await handle.query(stateQuery);
          expect({ state, parkedUntil, seedId }).toEqual({
            state: 'parked',
            parkedUntil: resetsAt,
            seedId: null,
          });
          await handle.signal(seedAvailableSignal);
          await until('a try', () => tries > before);
        }
        await until('the message', () => messages.length === 1);
        expect((await handle.query(stateQuery)).parkedUntil).toBeUndefined();
        expect(count(calls, 'launchAppServer')).toBe(2);
        end();
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(runs.length).toBeGreaterThan(1);
    for (const once of ['prepareWorkdir', 'parkTask', 'unparkTask', 'endSession', 'closeTask'])
      expect([once, count(calls, once)]).toEqual([once, 1]);
  });

  it('ends at a close without acquiring a credential', async () => {
    const { steps } = session();
    const resetsAt = new Date(Date.now() + 3_600_000).toISOString();
    const { calls, result } = await runLongTask(
      temporal.environment,
      {
        input: { prompt: 'x', credential: { apiKeyEnv: 'KEY' } },
        steps: () => ({
          ...steps,
          acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }),
          followSession: async () => limited(resetsAt),
        }),
      },
      async ({ handle }) => {
        await until('a parked task', async () => (await handle.query(stateQuery)).state === 'parked');
        await handle.signal(closeSignal);
      },
    );
    expect(result?.outcome).toBe('closed');
    expect(count(calls, 'acquireLease')).toBe(1);
    expect(count(calls, 'releaseLease')).toBe(0);
    expect(calls.at(-1)).toBe('closeTask');
  });

  it('ends at limits.totalMs', async () => {
    const { steps } = session();
    const resetsAt = new Date(Date.now() + 3_600_000).toISOString();
    const { calls, failure } = await runLongTask(
      temporal.environment,
      {
        input: { prompt: 'x', limits: { totalMs: 10_000 }, credential: { none: true } },
        steps: () => ({
          ...steps,
          acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }),
          followSession: async () => limited(resetsAt),
        }),
      },
      async () => undefined,
    );
    expect(failure).toMatchObject({ type: 'TaskTimedOut' });
    expect(calls.at(-1)).toBe('closeTask');
  });
});
