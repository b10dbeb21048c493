import { ObjectId } from 'mongodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { readBlob } from '../../../src/store/blobs.js';
import { seedsOf } from '../../../src/store/collections.js';
import { releaseLease, renewLease } from '../../../src/store/leases.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { dismissQuarantined } from '../../../src/store/settle-quarantine.js';
import { unpackSeed } from '../../../src/store/seed-archive.js';
import { insertSeed, readSeed, saveBack } from '../../../src/store/seeds.js';
import { auth, lease, MINUTE, seedOf, useStore } from '../support.js';
import { startPythonPeer, type PythonPeer } from './peer.js';

const POOL = 'shared';
const CONFIG = 'model = "gpt-5.5"\n';
const TASK = { taskId: 'task-1' };
const HOLDER = 'task-1/run-1';

const use = useStore();
let peer: PythonPeer;

const call = <T>(op: string, args: Record<string, unknown> = {}) =>
  peer.call<T>(op, { prefix: use.store.prefix, ...args });
const text = (token: string) => auth(token).toString();
const ourSeed = () =>
  insertSeed(use.store, { authJson: auth('ours'), configToml: Buffer.from(CONFIG), pool: POOL });
const pythonSeed = () => call<string>('capture', { auth: text('theirs'), config: CONFIG, pool: POOL });
const acquire = (holder = 'python') => call<string | null>('acquire', { pool: POOL, holder });

/** As if the term of whoever holds it had passed. */
const expire = (seedId: string) =>
  seedsOf(use.store).updateOne(
    { _id: new ObjectId(seedId) },
    { $set: { 'lease.expiresAt': new Date(Date.now() - MINUTE) } },
  );

describe('next to the Python package', () => {
  beforeAll(async () => {
    peer = await startPythonPeer(use.uri);
  }, 400_000);
  afterAll(() => peer?.close());

  test('a credential captured by one side is installed by the other', async () => {
    const theirs = await pythonSeed();
    const read = await readSeed(use.store, theirs);
    expect(read?.authJson?.toString()).toBe(text('theirs'));
    expect(read?.configToml?.toString()).toBe(CONFIG);
    const ours = await ourSeed();
    expect(await call('plant', { seed: ours })).toEqual({ 'auth.json': text('ours'), 'config.toml': CONFIG });
  });

  test.each(['ours', 'theirs'])(
    'a seed of %s leased by us is refused to the Python package',
    async (whose) => {
      const seedId = whose === 'ours' ? await ourSeed() : await pythonSeed();
      const held = await lease(use.store, { pool: POOL }, HOLDER);
      expect(await acquire()).toBeNull();
      expect(await call('list_pool', { pool: POOL })).toMatchObject([{ seedId, leased: true }]);
      expect(await call('renew', { seed: seedId, holder: 'python' })).toBe(false);
      await call('release', { seed: seedId, holder: 'python' });
      expect(await call('reap')).toBe(0);
      expect(await renewLease(use.store, held, MINUTE)).toBe(true);
      await releaseLease(use.store, held);
      expect(await acquire()).toBe(seedId);
    },
  );

  test.each(['ours', 'theirs'])('a seed of %s leased by the Python package makes us wait', async (whose) => {
    const seedId = whose === 'ours' ? await ourSeed() : await pythonSeed();
    expect(await acquire()).toBe(seedId);
    expect(await acquireSeed(use.store, { pool: POOL }, HOLDER, MINUTE)).toEqual({ kind: 'busy' });
    expect(await call('renew', { seed: seedId, holder: 'python' })).toBe(true);
    await call('release', { seed: seedId, holder: 'python' });
    expect((await lease(use.store, { pool: POOL }, HOLDER)).seedId).toBe(seedId);
  });

  test('an expired lease changes hands both ways, and its late holder notices', async () => {
    const seedId = await ourSeed();
    const held = await lease(use.store, { pool: POOL }, HOLDER);
    await expire(seedId);
    expect(await acquire()).toBe(seedId);
    expect(await renewLease(use.store, held, MINUTE)).toBe(false);
    expect(await releaseLease(use.store, held)).toBe(false);
    await expire(seedId);
    const again = await lease(use.store, { pool: POOL }, HOLDER);
    expect(again.leaseEpoch).toBe(held.leaseEpoch + 1);
    expect(await call('renew', { seed: seedId, holder: 'python' })).toBe(false);
    expect(await call('reap')).toBe(0);
    await expire(seedId);
    expect(await call('reap')).toBe(1);
    expect(await renewLease(use.store, again, MINUTE)).toBe(false);
  });

  test('a dead seed is leased by nobody, whoever marked it', async () => {
    const seedId = await ourSeed();
    await call('mark', { seed: seedId, status: 'dead' });
    expect(await acquireSeed(use.store, { pool: POOL }, HOLDER, MINUTE)).toMatchObject({ kind: 'none' });
    expect(await acquire()).toBeNull();
  });

  test.each(['ours', 'theirs'])('a seed of %s survives save-backs of both in turn', async (whose) => {
    const seedId = whose === 'ours' ? await ourSeed() : await pythonSeed();
    const first = await lease(use.store, { pool: POOL }, HOLDER);
    expect(await saveBack(use.store, first, auth('2'), TASK)).toMatchObject({ kind: 'saved' });
    await releaseLease(use.store, first);
    expect(await call('plant', { seed: seedId })).toEqual({ 'auth.json': text('2'), 'config.toml': CONFIG });

    expect(await acquire()).toBe(seedId);
    expect(await call('save_back', { seed: seedId, auth: text('3') })).toBe(true);
    const late = await saveBack(use.store, first, auth('late'), TASK);
    expect(late).toMatchObject({ kind: 'quarantined' });
    await call('release', { seed: seedId, holder: 'python' });

    // Nothing tells which of the two is newer: a person decides.
    expect(await acquireSeed(use.store, { pool: POOL }, HOLDER, MINUTE)).toEqual({ kind: 'busy' });
    expect(await acquire()).toBeNull();
    await dismissQuarantined(use.store, (late as { quarantineId: string }).quarantineId);
    const second = await lease(use.store, { pool: POOL }, HOLDER);
    const read = await readSeed(use.store, seedId);
    expect([read?.authJson?.toString(), read?.configToml?.toString()]).toEqual([text('3'), CONFIG]);
    expect(await saveBack(use.store, second, auth('4'), TASK)).toMatchObject({ kind: 'saved' });
    expect(await call('plant', { seed: seedId })).toEqual({ 'auth.json': text('4'), 'config.toml': CONFIG });

    // Their save-back deletes the blob that it replaces; what we keep beside is all readable.
    const { previousBlobs = [], leaseEpoch } = await seedOf(use.store, seedId);
    const kept = previousBlobs.map(async (id) => unpackSeed(await readBlob(use.store, id.toHexString())));
    const tokens = (await Promise.all(kept)).map(({ authJson }) => authJson?.toString());
    expect(tokens).toEqual([text('3'), text(whose)]);
    expect(leaseEpoch).toBeGreaterThan(2);
    expect(await listQuarantine(use.store, seedId)).toEqual([]);
  });

  test('a seed purged by the Python package is gone, and a later save is quarantined', async () => {
    const seedId = await ourSeed();
    const held = await lease(use.store, { pool: POOL }, HOLDER);
    await call('purge', { seed: seedId });
    expect(await renewLease(use.store, held, MINUTE)).toBe(false);
    expect(await saveBack(use.store, held, auth('5'), TASK)).toMatchObject({ kind: 'quarantined' });
  });
});
