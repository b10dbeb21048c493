import { expect, it } from 'vitest';
import { claimRefusedSignal, stateQuery } from '../../src/contract/index.js';
import { ACTIVITY_PROTOCOL } from '../../src/contract/activity-protocol.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal } from './run-task.js';

const temporal = useTemporal(connectLocal);

it('reports the version a host needs when every host with room is older', async () => {
  let grant: () => void = () => undefined;
  const granted = new Promise<void>((resolve) => (grant = resolve));
  const waits: (string | undefined)[] = [];
  const { result } = await runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    {
      async claimHost() {
        await granted;
        return { hostId: 'unset' };
      },
    },
    async (handle) => {
      const waitingFor = async () => (await handle.query(stateQuery)).waitingFor;
      await until('the claim', async () => (await handle.query(stateQuery)).state === 'waiting-for-host');
      for (const hostId of ['h1', 'h2']) {
        await handle.signal(claimRefusedSignal, { hostId, protocol: ACTIVITY_PROTOCOL - 1 });
        await until('its word', async () => (await waitingFor())?.includes(hostId));
        waits.push(await waitingFor());
      }
      grant();
    },
  );
  const needed = `Waits for a host of version ≥ ${ACTIVITY_PROTOCOL} of the activities`;
  expect(waits).toEqual(['h1', 'h2'].map((hostId) => `${needed}: ${hostId} has ${ACTIVITY_PROTOCOL - 1}`));
  expect(result?.outcome).toBe('completed');
});
