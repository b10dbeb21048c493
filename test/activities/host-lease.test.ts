import { describe, expect, it } from 'vitest';
import { hostLeaseActivities } from '../../src/activities/host-lease.js';
import { hostsOf } from '../../src/store/collections.js';
import { holderOf } from '../../src/store/holders.js';
import { listHosts, registerHost, renewHost, acknowledgeEviction } from '../../src/store/hosts.js';
import type { HostLook, HostSight } from '../../src/contract/activities.js';
import { MINUTE, useStore } from '../store/support.js';

const use = useStore();
const HOST = { hostId: 'h1', listenerUrl: 'http://127.0.0.1:1', version: '0', ttlMs: MINUTE };
const HERE = { hostId: 'h1', ref: { taskId: 't1', runId: 'r1', assignmentId: 's1' } };
/** What a task knows of a host whose right was over. */
const LOST: HostSight = { isAlive: false, expiresAtMs: 0, endsInMs: 0 };

const steps = () => hostLeaseActivities(use.store);
const sightOf = (look: HostLook): HostSight => {
  if (typeof look === 'string') throw new Error(`expected a sight, got ${look}`);
  return look;
};
const endRight = () => hostsOf(use.store).updateOne({ _id: 'h1' }, { $set: { expiresAt: new Date(0) } });

describe('a look at the lease of a host', () => {
  it('shows how long it lasts, and after a renewal that the host lives', async () => {
    const { epoch } = await registerHost(use.store, HOST);
    const since = sightOf(await steps().awaitHost(HERE));
    expect(since.isAlive).toBe(true);
    expect(since.endsInMs).toBeGreaterThan(MINUTE / 2);
    expect(sightOf(await steps().awaitHost({ ...HERE, since }))).toMatchObject({ isAlive: true });
    await renewHost(use.store, { hostId: 'h1', epoch }, 2 * MINUTE);
    expect(await steps().awaitHost({ ...HERE, since })).toBe('renewed');
    expect(sightOf(await steps().awaitHost({ ...HERE, since, away: true }))).toMatchObject({ isAlive: true });
  });

  it('reports its end at the second look, as the host may only have been frozen', async () => {
    const { epoch } = await registerHost(use.store, HOST);
    await endRight();
    const since = sightOf(await steps().awaitHost(HERE));
    expect(since).toMatchObject({ isAlive: false, endsInMs: 0 });
    expect(await steps().awaitHost({ ...HERE, since })).toBe('over');
    await renewHost(use.store, { hostId: 'h1', epoch }, MINUTE);
    expect(await steps().awaitHost({ ...HERE, since })).toBe('renewed');
  });

  it('reports at once the return of a host and that an unknown host is not back', async () => {
    expect(await steps().awaitHost({ ...HERE, since: LOST })).toBe('over');
    await registerHost(use.store, HOST);
    expect(await steps().awaitHost({ ...HERE, since: LOST })).toBe('renewed');
    await endRight();
    expect(await steps().awaitHost({ ...HERE, since: LOST })).toBe('over');
  });
});

describe('an eviction on a host', () => {
  it('is requested once and watched until it is done', async () => {
    await registerHost(use.store, HOST);
    expect(await steps().evictTask(HERE)).toBe('asked');
    expect(await steps().evictTask({ ...HERE, asked: true })).toBe('asked');
    await acknowledgeEviction(use.store, 'h1', HERE.ref);
    expect(await steps().evictTask({ ...HERE, asked: true })).toBe('left');
    expect((await listHosts(use.store)).map(({ evict }) => evict)).toEqual([[]]);
  });

  it('is found by a host that returns after its lease', async () => {
    await registerHost(use.store, HOST);
    await endRight();
    expect(await steps().evictTask(HERE)).toBe('over');
    expect((await listHosts(use.store)).map(({ evict }) => evict)).toEqual([[holderOf(HERE.ref)]]);
  });
});
