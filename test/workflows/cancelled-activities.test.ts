import { expect, it } from 'vitest';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal } from './run-task.js';

// In real time: the server that skips time mixes up a cancel that meets a completion.
const temporal = useTemporal(connectLocal);

it('releases a lease that was acquired after the task was cancelled', async () => {
  let isAcquiring = false;
  let isCancelled = false;
  const { calls, failure } = await runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    {
      acquireLease: async () => {
        isAcquiring = true;
        await until('its cancellation', () => isCancelled);
        return {
          kind: 'leased',
          lease: { seedId: 's', holder: 'h', leaseEpoch: 1 },
          searchAttributes: false,
        };
      },
    },
    async (handle) => {
      await until('its step', () => isAcquiring);
      await handle.cancel();
      isCancelled = true;
    },
  );
  expect(failure).toMatchObject({ name: 'CancelledFailure' });
  expect(calls).toEqual(['acquireLease', 'releaseLease']);
});
