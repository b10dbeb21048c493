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

it('waits with its last steps for a host that is only cut off, by the word of the database', async () => {
  const alive = { isAlive: true, expiresAtMs: 1, endsInMs: 30_000 };
  const { calls, result } = await endOf(4, alive);
  expect(calls.filter((name) => name === 'endSession')).toHaveLength(5);
  expect(result?.snapshotId).toBe('snapshot-1');
});

it('leaves its last steps to a host that may not run it any more', async () => {
  const { calls, result } = await endOf(4, 'over');
  expect(calls).not.toContain('takeSnapshot');
  expect(calls).not.toContain('releaseLease');
  expect(result?.snapshotId).toBeUndefined();
});
