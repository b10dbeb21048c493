import { ApplicationFailure, Context } from '@temporalio/activity';
import { describe, expect, it, onTestFinished } from 'vitest';
import { closeSignal, sendMessageSignal, stateQuery, type TaskStatus } from '../../src/contract/index.js';
import { connectLocal, startTimeSkipping, type TestTemporal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle } from './run-task.js';
import { ended, OTHER_HOST, type Stubs } from './stub-host.js';

// In skipped time: what is given up is given up after minutes.
const temporal = useTemporal(startTimeSkipping);

const MINUTE_MS = 60_000;
const rofs = () => Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' });
const away = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
const isOther = () => Context.current().info.taskQueue.endsWith('-other');

/** Two hosts: `name` fails on the first as `fails` says, all else succeeds. */
function failingOn(name: keyof Stubs, fails: () => unknown) {
  let claims = 0;
  const run = { attempts: 0, claimed: [] as unknown[] };
  const stub = async (): Promise<never> => {
    run.attempts++;
    throw fails();
  };
  // A watch over a credential keeps that time from being skipped.
  const unleased = { acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }) as const };
  const steps: Partial<Stubs> = {
    ...(name !== 'saveCredential' && unleased),
    claimHost: async (claim) => {
      run.claimed.push(claim);
      return { hostId: claims++ === 0 ? 'first' : OTHER_HOST };
    },
  };
  const usual: Partial<Record<keyof Stubs, unknown>> = {
    prepareWorkdir: undefined,
    launchAppServer: { threadId: 'thread-1', model: 'gpt-5.5', controls: [], warnings: [] },
    openListener: { url: 'http://127.0.0.1:1/tasks/t' },
    saveCredential: { warnings: [], quarantineId: null },
    captureSeed: { seedId: 'seed-1', skipped: null },
    takeSnapshot: { snapshotId: 'snapshot-1' },
    followSession: ended('completed'),
  };
  const failing = { [name]: () => (isOther() ? Promise.resolve(usual[name]) : stub()) };
  return { run, steps: { ...steps, ...failing } as Partial<Stubs> };
}

/** Runs a task; its last state too, which only a worker can tell. */
async function run(
  steps: Partial<Stubs>,
  during: (handle: Handle) => Promise<void> = async () => undefined,
  input: object = {},
  on: Pick<TestTemporal, 'environment'> = temporal,
) {
  let status: TaskStatus | null = null;
  const whole = { prompt: 'x', captureSeed: {}, ...input };
  const ran = await runTaskOn(on.environment, whole, steps, async (handle) => {
    await during(handle);
    await handle.result().catch(() => undefined);
    status = await handle.query(stateQuery);
  });
  return { ...ran, status: status as unknown as TaskStatus };
}

describe('a host on which an activity fails for an unknown reason', () => {
  it.each(['prepareWorkdir', 'launchAppServer', 'openListener', 'followSession'] as const)(
    'loses the task when %s fails for five minutes',
    async (name) => {
      const { run: seen, steps } = failingOn(name, rofs);
      const { result, calls, handle, status } = await run(steps);
      expect(result?.outcome).toBe('completed');
      expect(seen.claimed).toHaveLength(2);
      expect(seen.claimed[1]).toMatchObject({ avoid: [expect.stringContaining('host-')] });
      // Its place is given back, or what codex did there saved.
      const lastOnFirst = name.startsWith('p') || name.startsWith('l') ? 'closeTask' : 'evictTask';
      expect(calls.indexOf(lastOnFirst)).toBeLessThan(calls.lastIndexOf('claimHost'));
      expect(calls.indexOf(lastOnFirst)).toBeGreaterThan(0);
      const { warnings } = status;
      expect(warnings.join()).toMatch(new RegExp(`activity ${name} on host .*EROFS: read-only file system`));
      expect(seen.attempts).toBeGreaterThan(5);
      expect(seen.attempts).toBeLessThan(30);
      const { events } = await handle.fetchHistory();
      const times = events!.map(({ eventTime }) => Number(eventTime!.seconds) * 1_000);
      const tookMs = Math.max(...times) - times[0]!;
      expect(tookMs).toBeGreaterThan(5 * MINUTE_MS);
      expect(tookMs).toBeLessThan(8 * MINUTE_MS);
    },
  );

  it.each(['endSession', 'saveCredential', 'captureSeed', 'takeSnapshot', 'closeTask'] as const)(
    'does not keep a task from ending when %s fails, and adds a warning',
    async (name) => {
      const { run: seen, steps } = failingOn(name, rofs);
      const { result, status } = await run(steps);
      expect(result?.outcome).toBe('completed');
      expect(seen.claimed).toHaveLength(1);
      expect(seen.attempts).toBeLessThan(30);
      const { warnings, waitingFor } = status;
      expect(warnings.join()).toMatch(new RegExp(`activity ${name} on host .*EROFS: read-only file system`));
      expect(waitingFor).toBeUndefined();
    },
  );
});

describe('an activity', () => {
  it('reports its attempt and its error from the third attempt until it succeeds', async () => {
    let isMended = false;
    let attempts = 0;
    const { result, status } = await run(
      {
        acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }),
        prepareWorkdir: async () => {
          attempts++;
          if (!isMended) throw rofs();
        },
      },
      async (started) => {
        const { waitingFor } = await until('its word', async () => {
          const status = await started.query(stateQuery);
          return status.waitingFor !== undefined && status;
        });
        expect(waitingFor).toMatch(
          /^activity prepareWorkdir on host \S+, attempt \d+: EROFS: read-only file system$/,
        );
        expect(Number(/attempt (\d+)/.exec(waitingFor!)![1])).toBeGreaterThanOrEqual(3);
        isMended = true;
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(attempts).toBeGreaterThan(2);
    expect(status.waitingFor).toBeUndefined();
  });

  it('is not retried after an error in the code', async () => {
    const { run: seen, steps } = failingOn('prepareWorkdir', () => new TypeError('x is not a function'));
    const { failure } = await run(steps);
    expect(failure).toMatchObject({ type: 'HostUnfit', message: 'x is not a function' });
    expect(seen.attempts).toBe(1);
  });

  it('runs on another host at once when something is missing on the first', async () => {
    const missing = () => Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' });
    const { run: seen, steps } = failingOn('launchAppServer', missing);
    expect((await run(steps)).result?.outcome).toBe('completed');
    expect([seen.attempts, seen.claimed.length]).toEqual([1, 2]);
  });

  it('runs on another host when the first runs a version that lacks it', async () => {
    const unknown = () => {
      const { activityType } = Context.current().info;
      const message = `Activity function ${activityType} is not registered on this Worker`;
      return ApplicationFailure.create({ type: 'NotFoundError', message });
    };
    const { run: seen, steps } = failingOn('prepareWorkdir', unknown);
    expect((await run(steps)).result?.outcome).toBe('completed');
    expect(seen.claimed).toHaveLength(2);
  });

  it('waits on the host that has the task until the database is back', async () => {
    const { run: seen, steps } = failingOn('saveCredential', away);
    let beganAt = 0;
    const saveCredential: Stubs['saveCredential'] = async () => {
      const now = Context.current().info.currentAttemptScheduledTimestampMs;
      beganAt ||= now;
      seen.attempts++;
      if (now - beganAt < 45 * MINUTE_MS) throw away();
      return { warnings: [], quarantineId: null };
    };
    const { result, handle, status } = await run({ ...steps, saveCredential });
    expect(result?.outcome).toBe('completed');
    expect(seen.claimed).toHaveLength(1);
    expect(status.warnings).toEqual([]);
    // Temporal tries it by itself meanwhile.
    expect((await handle.fetchHistory()).events!.length).toBeLessThan(150);
  });
});

it('fails a task that three hosts cannot start', async () => {
  let claims = 0;
  const { failure } = await run({
    acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }),
    claimHost: async () => ({ hostId: claims++ % 2 === 0 ? 'first' : OTHER_HOST }),
    prepareWorkdir: async () => {
      throw Object.assign(new Error('ELOOP: too many links'), { code: 'ELOOP' });
    },
  });
  expect(failure).toMatchObject({ type: 'HostUnfit' });
  expect(claims).toBe(3);
});

it('releases a place that was granted after the task was closed', async () => {
  // The server that skips time is stuck with a step that is cancelled while it ends.
  const local = await connectLocal();
  onTestFinished(local.close);
  const closed: unknown[] = [];
  let isClaiming = false;
  let isClosed = false;
  const { result } = await run(
    {
      acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }),
      claimHost: async () => {
        isClaiming = true;
        await until('its close', () => isClosed);
        return { hostId: 'first' };
      },
      closeTask: async ({ ref }) => void closed.push(ref.taskId),
    },
    async (handle) => {
      await until('its claim', () => isClaiming);
      await handle.signal(closeSignal);
      await handle.signal(sendMessageSignal, { messageId: 'm', text: 'x' });
      isClosed = true;
    },
    { mode: 'conversation' },
    local,
  );
  expect(result?.outcome).toBe('closed');
  expect(closed).toHaveLength(1);
});
