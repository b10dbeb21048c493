import { expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import type { HostLook } from '../../src/contract/activities.js';
import { startTimeSkipping } from '../support/temporal.js';
import { runTaskOn, useTemporal } from './run-task.js';

const temporal = useTemporal(startTimeSkipping);

/** The end of a task whose host answers the first `silences` of its last steps with nothing. */
async function endOf(silences: number, look: HostLook) {
  let left = silences;
  return runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    {
      async endSession() {
        if (left-- > 0) throw new TaskError('HostLost', 'the host does not answer');
      },
      awaitHost: async () => look,
    },
  );
}

it('waits with teardown for a host that the database shows is only cut off', async () => {
  const alive = { isAlive: true, expiresAtMs: 1, endsInMs: 30_000 };
  const { calls, result } = await endOf(4, alive);
  expect(calls.filter((name) => name === 'endSession')).toHaveLength(5);
  expect(result?.snapshotId).toBe('snapshot-1');
});

it('leaves teardown to a host that may no longer run the task', async () => {
  const { calls, result } = await endOf(4, 'over');
  expect(calls).not.toContain('takeSnapshot');
  expect(calls).not.toContain('releaseLease');
  expect(result?.snapshotId).toBeUndefined();
});
