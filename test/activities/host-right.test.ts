import { MockActivityEnvironment } from '@temporalio/testing';
import type { Db, Filter } from 'mongodb';
import { expect, it } from 'vitest';
import { hostRightSteps } from '../../src/activities/host-right.js';
import { hostsOf, type HostDocument } from '../../src/store/collections.js';
import { registerHost, renewHost } from '../../src/store/hosts.js';
import { MINUTE, useStore } from '../store/support.js';

const use = useStore();
const HOST = { hostId: 'h1', listenerUrl: 'http://127.0.0.1:1', version: '0', ttlMs: MINUTE };
const ARGUMENTS = { hostId: 'h1', ref: { taskId: 't1', runId: 'r1', stayId: 's' }, returning: false };

/** Waits for a host whose right is over; `afterLook` is awaited before the answer of each look at it. */
async function awaitSilentHost(afterLook: (looks: number, epoch: number) => Promise<unknown>) {
  const { epoch } = await registerHost(use.store, HOST);
  const hosts = hostsOf(use.store);
  await hosts.updateOne({ _id: 'h1' }, { $set: { expiresAt: new Date(0) } });
  let looks = 0;
  const findOne = async (filter: Filter<HostDocument>) => {
    const found = await hosts.findOne(filter);
    await afterLook(++looks, epoch);
    return found;
  };
  const db = Object.assign(Object.create(use.store.db) as Db, { collection: () => ({ findOne }) });
  const steps = hostRightSteps({ ...use.store, db });
  return new MockActivityEnvironment().run(() => steps.awaitHost(ARGUMENTS));
}

it('sees the end of the right of a host that stays silent', async () => {
  expect(await awaitSilentHost(() => Promise.resolve())).toBe('over');
});

it('sees that a host lives which stood still beside the one that looks, and renews after its first look', async () => {
  const renewing = (looks: number, epoch: number) =>
    looks === 2 ? renewHost(use.store, { hostId: 'h1', epoch }, MINUTE) : Promise.resolve(null);
  expect(await awaitSilentHost(renewing)).toBe('renewed');
});
