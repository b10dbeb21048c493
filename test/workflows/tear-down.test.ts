import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import { withHeartbeat } from '../../src/activities/heartbeat.js';
import { CODEX_TASK, taskEvictedSignal, stateQuery } from '../../src/contract/index.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal, type Handle } from './run-task.js';
import { stubs, withWorkers, type HostWorker, type Stubs } from './stub-host.js';

// In real time: what a step that nobody takes costs is measured.
const temporal = useTemporal(connectLocal);

/** A step that nobody takes is given up after three quarters of it. */
const TTL_MS = 2_000;

const BEAT_MS = 500;

/** Runs a task to its end; `overrides` get its host's worker, and it once it runs. */
function runTask(overrides: (host: HostWorker, handle: () => Handle) => Partial<Stubs>) {
  const calls: string[] = [];
  let host!: HostWorker;
  let handle!: Handle;
  const worker: HostWorker = { pause: () => host.pause(), goOn: () => host.goOn() };
  const claimHost: Stubs['claimHost'] = async () => ({ hostId: 'unset', ttlMs: TTL_MS });
  const steps = stubs(calls, { claimHost, ...overrides(worker, () => handle) });
  return withWorkers(temporal.environment, steps, async (taskQueue, own) => {
    host = own;
    handle = await temporal.environment.client.workflow.start(CODEX_TASK, {
      taskQueue,
      workflowId: `task-${randomUUID()}`,
      args: [{ prompt: 'x' }],
    });
    const result = await handle.result();
    return { calls, result, status: await handle.query(stateQuery) };
  });
}

/** Resolves when the task waits for its host to come back. */
const isRecovering = (handle: Handle) =>
  until('recovering', async () => (await handle.query(stateQuery)).state === 'recovering', 60_000);

const LAST = ['releaseLease', 'takeSnapshot', 'closeTask'];

it('continues its teardown once a worker polls again after more than a lease', async () => {
  let paused: Promise<void> | null = null;
  const thaws: Promise<void>[] = [];
  const { calls, result, status } = await runTask((host, handle) => ({
    releaseLease: async () => {
      await withHeartbeat(() => (paused ??= host.pause()), BEAT_MS);
      // Nobody says that it came back.
      if (thaws.length === 0) thaws.push(isRecovering(handle()).then(() => host.goOn()));
    },
  }));
  await Promise.all(thaws);
  expect(result.snapshotId).toBe('snapshot-1');
  expect(calls.slice(-3)).toEqual(LAST);
  expect(status.warnings).toEqual([]);
});

it('takes the snapshot after every attempt went to a frozen worker', async () => {
  let thaw: () => void = () => undefined;
  const thawed = new Promise<void>((resolve) => (thaw = resolve));
  let isFrozen = true;
  const { result, status } = await runTask((_host, handle) => ({
    releaseLease: async () =>
      void isRecovering(handle()).then(() => {
        isFrozen = false;
        thaw();
      }),
    // None of them heartbeats.
    takeSnapshot: async () => {
      if (isFrozen) await thawed;
      return { snapshotId: 'snapshot-1' };
    },
  }));
  expect(result.snapshotId).toBe('snapshot-1');
  expect(status.warnings).toEqual([]);
});

it('does not wait for a host that has evicted it', async () => {
  const { calls, result } = await runTask((_host, handle) => ({
    saveCredential: async () => {
      const { host } = await handle().query(stateQuery);
      await handle().signal(taskEvictedSignal, { hostId: host! });
      return { warnings: [], quarantineId: null };
    },
  }));
  expect(result.outcome).toBe('completed');
  expect(calls).not.toContain('takeSnapshot');
});

it('keeps the lease of a seed whose newest credential was not saved', async () => {
  const { calls, status } = await runTask(() => ({
    saveCredential: async () => {
      throw ApplicationFailure.nonRetryable('no', 'BadInput');
    },
  }));
  expect(calls).not.toContain('releaseLease');
  expect(status.warnings).toEqual([expect.stringContaining('save credential')]);
});
