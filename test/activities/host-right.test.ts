import { describe, expect, it } from 'vitest';
import { hostRightActivities } from '../../src/activities/host-right.js';
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

const steps = () => hostRightActivities(use.store);
const sightOf = (look: HostLook): HostSight => {
  if (typeof look === 'string') throw new Error(`expected a sight, got ${look}`);
  return look;
};
const endRight = () => hostsOf(use.store).updateOne({ _id: 'h1' }, { $set: { expiresAt: new Date(0) } });

describe('a look at a host', () => {
  it('says how long its right lasts, and at the next one that it lives once it has renewed that', async () => {
    const { epoch } = await registerHost(use.store, HOST);
    const since = sightOf(await steps().awaitHost(HERE));
    expect(since.isAlive).toBe(true);
    expect(since.endsInMs).toBeGreaterThan(MINUTE / 2);
    expect(sightOf(await steps().awaitHost({ ...HERE, since }))).toMatchObject({ isAlive: true });
    await renewHost(use.store, { hostId: 'h1', epoch }, 2 * MINUTE);
    expect(await steps().awaitHost({ ...HERE, since })).toBe('renewed');
    expect(sightOf(await steps().awaitHost({ ...HERE, since, away: true }))).toMatchObject({ isAlive: true });
  });

  it('sees the end of its right at the second time, for it may only have stood still', async () => {
    const { epoch } = await registerHost(use.store, HOST);
    await endRight();
    const since = sightOf(await steps().awaitHost(HERE));
    expect(since).toMatchObject({ isAlive: false, endsInMs: 0 });
    expect(await steps().awaitHost({ ...HERE, since })).toBe('over');
    await renewHost(use.store, { hostId: 'h1', epoch }, MINUTE);
    expect(await steps().awaitHost({ ...HERE, since })).toBe('renewed');
  });

  it('sees at once whether one is back whose right was over, and that one which nobody knows is not', async () => {
    expect(await steps().awaitHost({ ...HERE, since: LOST })).toBe('over');
    await registerHost(use.store, HOST);
    expect(await steps().awaitHost({ ...HERE, since: LOST })).toBe('renewed');
    await endRight();
    expect(await steps().awaitHost({ ...HERE, since: LOST })).toBe('over');
  });
});

describe('a host that is to let a task go', () => {
  it('is asked once, and looked at until it has', async () => {
    await registerHost(use.store, HOST);
    expect(await steps().evictTask(HERE)).toBe('asked');
    expect(await steps().evictTask({ ...HERE, asked: true })).toBe('asked');
    await acknowledgeEviction(use.store, 'h1', HERE.ref);
    expect(await steps().evictTask({ ...HERE, asked: true })).toBe('left');
    expect((await listHosts(use.store)).map(({ evict }) => evict)).toEqual([[]]);
  });

  it('finds at its return what it was asked, once its right is over', async () => {
    await registerHost(use.store, HOST);
    await endRight();
    expect(await steps().evictTask(HERE)).toBe('over');
    expect((await listHosts(use.store)).map(({ evict }) => evict)).toEqual([[holderOf(HERE.ref)]]);
  });
});
