import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { startTimeSkipping, type TestTemporal } from '../support/temporal.js';
import { runTaskOn, type Handle, type TaskRunner } from './run-task.js';
import { ended, type Stubs } from './stub-host.js';

// The server skips time while no step runs: hours of waiting take seconds. After a workflow's end it skips ten
// years, so each test has one of its own.
let temporal: TestTemporal;

quietRuntime();
beforeEach(async () => {
  temporal = await startTimeSkipping();
});
afterEach(() => temporal.close());

const runTask: TaskRunner = (input, overrides, during) =>
  runTaskOn(temporal.environment, input, overrides, during);

const HOUR_MS = 3_600_000;
const busy: Stubs['acquireLease'] = async () => ({ kind: 'busy', searchAttributes: false });
const noSeed: Stubs['acquireLease'] = async () => ({ kind: 'no-seed', searchAttributes: false });
const count = (calls: string[], name: string) => calls.filter((each) => each === name).length;

const nowOf = async () => await temporal.environment.currentTimeMs();

/** How long it ran by the server's clock, which goes on skipping after its end. Milliseconds. */
async function lifeOf(handle: Handle): Promise<number> {
  const { startTime, closeTime } = await handle.describe();
  return closeTime!.getTime() - startTime.getTime();
}

/** The first session ends by a usage limit for `forMs`, the next one as a task does. */
function limitedOnce(forMs: number) {
  let follows = 0;
  const followSession: Stubs['followSession'] = async () => {
    if (++follows > 1) return ended('completed');
    const resetsAt = new Date((await nowOf()) + forMs).toISOString();
    const end = { kind: 'limited' as const, turnId: 't1', resetsAt };
    return { ...ended('completed'), end };
  };
  return { followSession };
}

describe('a task that waits for a credential', () => {
  it('continues with the seed that is released', async () => {
    const lease = { seedId: 'seed-2', holder: 'h', leaseEpoch: 4 };
    const released: unknown[] = [];
    let tries = 0;
    const { result } = await runTask(
      { prompt: 'x' },
      {
        acquireLease: async (args) =>
          ++tries < 4 ? busy(args) : { kind: 'leased', lease, searchAttributes: false },
        releaseLease: async (given) => void released.push(given),
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(released).toEqual([lease]);
  });

  it('adds fewer than 1,600 events to its history in ten hours', async () => {
    const { failure, calls, handle } = await runTask(
      { prompt: 'x', credential: { pool: 'p', waitMs: 10 * HOUR_MS } },
      { acquireLease: busy },
    );
    expect(failure).toMatchObject({ type: 'NoCredential' });
    // At 1, 3, 7, … s, then each five minutes.
    expect(count(calls, 'acquireLease')).toBeGreaterThan(100);
    const { events } = await handle.fetchHistory();
    expect(events!.length).toBeLessThan(1_600);
  });

  it('fails when credential.waitMs is over, not at its next attempt', async () => {
    const { failure, handle } = await runTask(
      { prompt: 'x', credential: { pool: 'p', waitMs: 1_000_000 } },
      { acquireLease: busy },
    );
    expect(failure).toMatchObject({ type: 'NoCredential' });
    expect(await lifeOf(handle)).toBeLessThan(1_010_000);
  });
});

describe('a task whose account is out of quota', () => {
  it('continues at the reset on the same host without another setup', async () => {
    const { calls, result, handle } = await runTask(
      { prompt: 'x', credential: { apiKeyEnv: 'KEY' } },
      { acquireLease: noSeed, ...limitedOnce(5 * HOUR_MS) },
    );
    expect(result?.outcome).toBe('completed');
    expect(await lifeOf(handle)).toBeGreaterThanOrEqual(5 * HOUR_MS);
    expect(await lifeOf(handle)).toBeLessThan(5 * HOUR_MS + 60_000);
    expect(calls).toEqual([
      'acquireLease',
      'claimHost',
      'prepareWorkdir',
      'launchAppServer',
      'openListener',
      'followSession',
      'parkTask',
      'unparkTask',
      'launchAppServer',
      'openListener',
      'followSession',
      'endSession',
      'takeSnapshot',
      'closeTask',
    ]);
  });

  it('holds its seed out until the reset, and tries the others of the pool', async () => {
    const released: unknown[] = [];
    let tries = 0;
    const { result, calls, handle } = await runTask(
      { prompt: 'x', credential: { pool: 'p' } },
      {
        ...limitedOnce(HOUR_MS),
        acquireLease: async (args) => {
          if (++tries > 1 && tries < 6) return busy(args);
          const lease = { seedId: `seed-${tries}`, holder: 'h', leaseEpoch: tries };
          return { kind: 'leased', lease, searchAttributes: false };
        },
        releaseLease: async (lease) => void released.push(lease),
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(released[0]).toMatchObject({ seedId: 'seed-1', limitedUntil: expect.any(String) as string });
    expect(released[1]).toEqual({ seedId: 'seed-6', holder: 'h', leaseEpoch: 6 });
    expect(count(calls, 'parkTask')).toBe(1);
    expect(await lifeOf(handle)).toBeLessThan(HOUR_MS);
  });

  it('waits again when its new lease is refused before Codex starts', async () => {
    const released: unknown[] = [];
    let tries = 0;
    let unparks = 0;
    const { result, calls } = await runTask(
      { prompt: 'x', credential: { pool: 'p' } },
      {
        ...limitedOnce(HOUR_MS),
        acquireLease: async () => {
          const lease = { seedId: `seed-${++tries}`, holder: 'h', leaseEpoch: tries };
          return { kind: 'leased', lease, searchAttributes: false };
        },
        unparkTask: async () => {
          if (++unparks === 1) throw new TaskError('LeaseRefused', 'leased to another');
        },
        releaseLease: async ({ seedId }) => void released.push(seedId),
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(released).toEqual(['seed-1', 'seed-3']);
    expect(count(calls, 'parkTask')).toBe(1);
  });
});
