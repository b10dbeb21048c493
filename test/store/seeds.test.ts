import { createSecretKey } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { loginIn } from '../../src/store/auth-shape.js';
import { deleteBlob, putBlob, readBlob } from '../../src/store/blobs.js';
import { quarantineOf, seedsOf } from '../../src/store/collections.js';
import { releaseLease, type Lease } from '../../src/store/leases.js';
import { databaseNow } from '../../src/store/mongo.js';
import { listQuarantine, readQuarantined } from '../../src/store/quarantine.js';
import { rekeyAll } from '../../src/store/rekey.js';
import { purgeSeed } from '../../src/store/remove-seed.js';
import { unpackSeed } from '../../src/store/seed-archive.js';
import { insertSeed, listSeeds, readSeed, saveBack } from '../../src/store/seeds.js';
import {
  auth,
  beforeBlob,
  blobsOf,
  foreignAcquire,
  foreignRefresh,
  lease,
  meanwhile,
  MINUTE,
  seedOf,
  useStore,
} from './support.js';

const use = useStore();
const CONFIG = Buffer.from('model = "gpt-5.5"\n');
const TASK = { taskId: 'task-1' };
const HOLDER = 'task-1/run-1';

const OLD = auth('old');
const NEW = auth('new');

async function leasedSeed(ttlMs = MINUTE): Promise<Lease> {
  const seedId = await insertSeed(use.store, { authJson: OLD, configToml: CONFIG, pool: 'main' });
  return lease(use.store, { seedId }, HOLDER, ttlMs);
}

const storedAuth = async (seedId: string) => (await readSeed(use.store, seedId))?.authJson?.toString();

/** Every auth.json that the database still has for this seed: current, previous, quarantined. */
async function everyAuth(seedId: string): Promise<string[]> {
  const seed = await seedOf(use.store, seedId);
  const archives = [seed.blobId, ...(seed.previousBlobs ?? [])].map(async (id) =>
    String((await unpackSeed(await readBlob(use.store, id.toHexString()))).authJson),
  );
  const kept = (await listQuarantine(use.store, seedId)).map(async ({ blobId }) =>
    (await readBlob(use.store, blobId)).toString(),
  );
  return Promise.all([...archives, ...kept]);
}

describe('insert and read', () => {
  test('writes the document and the blob of the Python package', async () => {
    const from = await databaseNow(use.store);
    const metadata = { owner: 'me' };
    const seedId = await insertSeed(use.store, { authJson: OLD, configToml: CONFIG, pool: 'main', metadata });
    const { _id, createdAt, blobId, login, loginBlob, authRefreshedAt, ...rest } = await seedOf(
      use.store,
      seedId,
    );
    expect([login, loginBlob, authRefreshedAt]).toEqual([loginIn(OLD), blobId, new Date(0)]);
    expect(_id.toHexString()).toBe(seedId);
    expect(createdAt.getTime()).toBeGreaterThanOrEqual(from.getTime());
    expect(rest).toEqual({ manifestVersion: 1, poolKey: 'main', metadata });
    const file = await use.store.db.collection('fs.files').findOne({ _id: blobId });
    expect(file).toMatchObject({ filename: 'seed', metadata: { prefix: use.store.prefix, name: 'seed' } });
    expect(await readSeed(use.store, seedId)).toEqual({
      authJson: OLD,
      configToml: CONFIG,
      blobId: blobId.toHexString(),
    });
  });

  test('leaves out fields and member without pool and config', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('loose') });
    expect(Object.keys(await seedOf(use.store, seedId)).sort()).toEqual(
      ['_id', 'authRefreshedAt', 'blobId', 'createdAt', 'login', 'loginBlob', 'manifestVersion'].sort(),
    );
    expect(await readSeed(use.store, seedId)).toMatchObject({ configToml: null });
  });

  test.each(['', '{}', 'half a {"tokens": "secret-token"', '{"tokens":null,"x":"secret-token"}'])(
    'refuses %j, writes nothing and does not repeat it',
    async (text) => {
      const held = await leasedSeed();
      const before = await seedOf(use.store, held.seedId);
      for (const attempt of [
        insertSeed(use.store, { authJson: Buffer.from(text) }),
        saveBack(use.store, held, Buffer.from(text), TASK),
      ]) {
        const failure: unknown = await attempt.catch((error: unknown) => error);
        expect(failure).toMatchObject({ code: 'BadInput' });
        expect(JSON.stringify([String(failure), failure])).not.toContain('secret-token');
      }
      expect(await seedOf(use.store, held.seedId)).toEqual(before);
      expect(await blobsOf(use.store)).toHaveLength(1);
      expect(await listQuarantine(use.store)).toEqual([]);
    },
  );

  test.each(['', 'nonsense', 'a'.repeat(24)])('reports the unknown seed %j', async (seedId) => {
    expect(await readSeed(use.store, seedId)).toBeNull();
    expect(await purgeSeed(use.store, seedId)).toEqual({ kind: 'unknown' });
  });

  test('refuses a seed whose blob is gone or no archive', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('loose') });
    const { blobId } = await seedOf(use.store, seedId);
    await deleteBlob(use.store, blobId.toHexString());
    await expect(readSeed(use.store, seedId)).rejects.toMatchObject({
      code: 'CredentialDead',
      message: expect.stringContaining('is missing') as string,
    });
    const junk = new ObjectId(await putBlob(use.store, Buffer.from('junk'), { filename: 'seed' }));
    await seedsOf(use.store).updateOne({ _id: new ObjectId(seedId) }, { $set: { blobId: junk } });
    await expect(readSeed(use.store, seedId)).rejects.toMatchObject({ code: 'CredentialDead' });
  });

  test('notices a blob that a foreign client replaces during the read', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('loose') });
    const racing = beforeBlob(use.store, () => foreignRefresh(use.store, seedId, NEW));
    expect((await readSeed(racing, seedId))?.authJson).toEqual(NEW);
  });
});

describe('save back', () => {
  test('replaces auth.json alone and remembers the blob before', async () => {
    const held = await leasedSeed();
    const before = await seedOf(use.store, held.seedId);
    const result = await saveBack(use.store, held, NEW, TASK);
    const after = await seedOf(use.store, held.seedId);
    expect(result).toEqual({ kind: 'saved', blobId: after.blobId.toHexString() });
    expect(await readSeed(use.store, held.seedId)).toMatchObject({ authJson: NEW, configToml: CONFIG });
    const { blobId, previousBlobs, updatedAt, lastRefreshedAt, earlierLogins, ...rest } = after;
    const { blobId: old, ...restBefore } = before;
    expect(rest).toEqual({ ...restBefore, login: loginIn(NEW), loginBlob: blobId });
    expect(earlierLogins).toEqual([loginIn(OLD)]);
    expect(previousBlobs).toEqual([old]);
    expect(updatedAt).toEqual(lastRefreshedAt);
    expect(updatedAt!.getTime()).toBeGreaterThanOrEqual(before.lastLeasedAt!.getTime());
    expect(await everyAuth(held.seedId)).toEqual([NEW.toString(), OLD.toString()]);
  });

  test('writes nothing for the same bytes', async () => {
    const held = await leasedSeed();
    const before = await seedOf(use.store, held.seedId);
    expect(await saveBack(use.store, held, OLD, TASK)).toEqual({ kind: 'unchanged' });
    expect(await seedOf(use.store, held.seedId)).toEqual(before);
    expect(await blobsOf(use.store)).toHaveLength(1);
  });

  test('saves under an expired lease that nobody took', async () => {
    const held = await leasedSeed(-1);
    expect(await saveBack(use.store, held, NEW, TASK)).toMatchObject({ kind: 'saved' });
  });

  test('keeps three replaced blobs, newest first, and deletes older ones', async () => {
    const held = await leasedSeed();
    for (let i = 1; i <= 6; i++) await saveBack(use.store, held, auth(`token-${i}`), TASK);
    const seed = await seedOf(use.store, held.seedId);
    expect(seed.previousBlobs).toHaveLength(3);
    expect(await everyAuth(held.seedId)).toEqual([6, 5, 4, 3].map((i) => auth(`token-${i}`).toString()));
    const kept = [seed.blobId, ...seed.previousBlobs!].map((id) => id.toHexString());
    expect((await blobsOf(use.store)).sort()).toEqual(kept.sort());
    const chunks = use.store.db.collection('fs.chunks');
    expect(await chunks.countDocuments({ files_id: { $in: [seed.blobId, ...seed.previousBlobs!] } })).toBe(4);
  });

  test('saves or quarantines each of many concurrent saves of one lease, and loses none', async () => {
    const held = await leasedSeed();
    const rotations = ['a', 'b', 'c'].map((token) => auth(token));
    const results = await Promise.all(rotations.map((bytes) => saveBack(use.store, held, bytes, TASK)));
    expect(results.map(({ kind }) => kind)).toEqual(['saved', 'saved', 'saved']);
    const all = [OLD, ...rotations].map(String).sort();
    expect((await everyAuth(held.seedId)).sort()).toEqual(all);
    expect(await blobsOf(use.store)).toHaveLength(4);
  });

  test('saves the bytes of the current one of two holders', async () => {
    const gone = await leasedSeed(-1);
    const held = await lease(use.store, { seedId: gone.seedId }, 'task-2/run-1');
    const [lost, saved] = await Promise.all([
      saveBack(use.store, gone, auth('gone'), TASK),
      saveBack(use.store, held, NEW, { taskId: 'task-2' }),
    ]);
    expect([lost.kind, saved.kind]).toEqual(['quarantined', 'saved']);
    expect(await storedAuth(held.seedId)).toBe(NEW.toString());
    const all = [OLD, NEW, auth('gone')].map(String).sort();
    expect((await everyAuth(held.seedId)).sort()).toEqual(all);
  });

  test('replaces, and keeps, a refresh of a foreign client in between', async () => {
    const held = await leasedSeed();
    const racing = meanwhile(use.store, 1, () => foreignRefresh(use.store, held.seedId, auth('python')));
    expect(await saveBack(racing, held, NEW, TASK)).toMatchObject({ kind: 'saved' });
    expect(await everyAuth(held.seedId)).toEqual([NEW.toString(), auth('python').toString()]);
    expect(await listQuarantine(use.store)).toEqual([]);
  });

  test('never replaces newer bytes of the same lease by older ones', async () => {
    const held = await leasedSeed();
    const older = auth('older', '2026-01-01T00:00:00.000000001Z');
    const newer = auth('newer', '2026-01-01T00:00:01.5Z');
    const racing = meanwhile(use.store, 1, () => saveBack(use.store, held, newer, TASK));
    expect(await saveBack(racing, held, older, TASK)).toEqual({ kind: 'unchanged' });
    expect(await storedAuth(held.seedId)).toBe(newer.toString());
    expect(await everyAuth(held.seedId)).toContain(older.toString());
  });

  test('leaves the seed whole after a crash between blob and document', async () => {
    const held = await leasedSeed();
    const before = await seedOf(use.store, held.seedId);
    const crash = new Error('connection lost');
    const racing = meanwhile(use.store, 1, () => Promise.reject(crash));
    await expect(saveBack(racing, held, NEW, TASK)).rejects.toBe(crash);
    expect(await seedOf(use.store, held.seedId)).toEqual(before);
    expect(await storedAuth(held.seedId)).toBe(OLD.toString());
    expect(await saveBack(use.store, held, NEW, TASK)).toMatchObject({ kind: 'saved' });
    expect(await saveBack(use.store, held, NEW, TASK)).toEqual({ kind: 'unchanged' });
  });

  test('gives a seed whose blob is gone a new one', async () => {
    const held = await leasedSeed();
    const { blobId } = await seedOf(use.store, held.seedId);
    await deleteBlob(use.store, blobId.toHexString());
    expect(await saveBack(use.store, held, NEW, TASK)).toMatchObject({ kind: 'saved' });
    expect(await storedAuth(held.seedId)).toBe(NEW.toString());
  });

  test('quarantines the bytes when the current blob cannot be read', async () => {
    const held = await leasedSeed();
    const junk = new ObjectId(await putBlob(use.store, Buffer.from('encrypted?'), { filename: 'seed' }));
    await seedsOf(use.store).updateOne({ _id: new ObjectId(held.seedId) }, { $set: { blobId: junk } });
    const result = await saveBack(use.store, held, NEW, TASK);
    expect(result).toMatchObject({
      kind: 'quarantined',
      reason: expect.stringContaining('cannot be read') as string,
    });
    expect((await seedOf(use.store, held.seedId)).blobId).toEqual(junk);
  });
});

describe('a save-back without the lease', () => {
  const losses: [string, (held: Lease) => Promise<unknown>, RegExp][] = [
    [
      'taken by a foreign client',
      (held) => foreignAcquire(use.store, held.seedId, 'python'),
      /held by python/,
    ],
    ['taken by another task', (held) => takeOver(held, 'task-2/run-1'), /held by task-2\/run-1 with epoch 2/],
    ['leased anew by the same holder', (held) => takeOver(held, HOLDER), /with epoch 2/],
    [
      'released, and used by another since',
      async (held) => {
        await releaseLease(use.store, held);
        const other = await lease(use.store, { seedId: held.seedId }, 'task-2/run-1');
        await releaseLease(use.store, other);
      },
      /released/,
    ],
  ];

  const takeOver = async (held: Lease, holder: string) => {
    await seedsOf(use.store).updateOne({ _id: new ObjectId(held.seedId) }, { $set: { lease: null } });
    await lease(use.store, { seedId: held.seedId }, holder);
  };

  test.each(losses)('goes to quarantine when %s', async (_, lose, reason) => {
    const held = await leasedSeed();
    await lose(held);
    await expectQuarantine(held, await saveBack(use.store, held, NEW, TASK), reason);
  });

  test.each(losses)('goes to quarantine when %s, between reading and writing', async (_, lose, reason) => {
    const held = await leasedSeed();
    const racing = meanwhile(use.store, 1, () => lose(held));
    await expectQuarantine(held, await saveBack(racing, held, NEW, TASK), reason);
  });

  test('goes to quarantine when cleared, and refreshed by a foreign client since', async () => {
    const held = await leasedSeed();
    await foreignRefresh(use.store, held.seedId, auth('python'));
    await releaseLease(use.store, held);
    expect(await saveBack(use.store, held, NEW, TASK)).toMatchObject({ kind: 'quarantined' });
    expect(await storedAuth(held.seedId)).toBe(auth('python').toString());
  });

  test('saves into the seed when cleared or released, and used by nobody since', async () => {
    const held = await leasedSeed();
    await releaseLease(use.store, held);
    expect(await saveBack(use.store, held, NEW, TASK)).toMatchObject({ kind: 'saved' });
    expect(await seedOf(use.store, held.seedId)).toMatchObject({ lease: null, leaseEpoch: held.leaseEpoch });
    const next = await lease(use.store, { pool: 'main' }, 'task-2/run-1');
    expect(await saveBack(use.store, held, auth('too late'), TASK)).toMatchObject({ kind: 'quarantined' });
    expect(await storedAuth(next.seedId)).toBe(NEW.toString());
  });

  test('saves into the seed when cleared, and written with another key since', async () => {
    const held = await leasedSeed();
    await releaseLease(use.store, held);
    const key = { id: 'k', key: createSecretKey(Buffer.alloc(32)) };
    const keyed = { ...use.store, seedKeys: { writes: key, reads: [key] } };
    for await (const each of rekeyAll(keyed)) expect(each).toMatchObject({ outcome: 'rewritten' });
    expect(await saveBack(keyed, held, NEW, TASK)).toMatchObject({ kind: 'saved' });
  });

  test.each(['deleted', 'malformed'])('%s seed', async (how) => {
    const held = await leasedSeed();
    if (how === 'deleted') await purgeSeed(use.store, held.seedId, { force: true });
    const gone = how === 'deleted' ? held : { ...held, seedId: 'nonsense' };
    const result = await saveBack(use.store, gone, NEW, TASK);
    expect(result).toMatchObject({ kind: 'quarantined', reason: 'the seed is gone' });
    expect(await listQuarantine(use.store, gone.seedId)).toHaveLength(1);
  });

  test('keeps the same bytes of a repeated call once in quarantine', async () => {
    const held = await leasedSeed();
    await foreignAcquire(use.store, held.seedId, 'python');
    const first = await saveBack(use.store, held, NEW, TASK);
    expect(await saveBack(use.store, held, NEW, TASK)).toEqual(first);
    expect(await listQuarantine(use.store)).toHaveLength(1);
  });

  async function expectQuarantine(held: Lease, result: Awaited<ReturnType<typeof saveBack>>, reason: RegExp) {
    expect(result).toMatchObject({ kind: 'quarantined', reason: expect.stringMatching(reason) as string });
    const { quarantineId } = result as { quarantineId: string };
    expect(await readQuarantined(use.store, quarantineId)).toEqual(NEW);
    const record = await quarantineOf(use.store).findOne({ _id: new ObjectId(quarantineId) });
    expect(record).toMatchObject({
      ...held,
      ...TASK,
      at: expect.any(Date) as Date,
      blobId: expect.any(ObjectId) as ObjectId,
    });
    expect(JSON.stringify(record)).not.toContain('"new"');
    expect(await storedAuth(held.seedId)).toBe(OLD.toString());
    // The archive that was written in vain is gone.
    expect(await blobsOf(use.store)).toHaveLength(1);
  }
});

describe('list and delete', () => {
  test('lists the seeds of a pool, or all, without a byte of a credential', async () => {
    const held = await leasedSeed();
    const other = await insertSeed(use.store, { authJson: auth('other'), pool: 'other' });
    const loose = await insertSeed(use.store, { authJson: auth('loose') });
    const listed = await listSeeds(use.store, 'main');
    expect(listed).toEqual([
      {
        seedId: held.seedId,
        pool: 'main',
        state: 'leased',
        status: 'alive',
        leased: true,
        holder: HOLDER,
        leasedUntil: expect.any(Date) as Date,
        limitedUntil: null,
        createdAt: expect.any(Date) as Date,
        lastLeasedAt: expect.any(Date) as Date,
        lastRefreshedAt: null,
        lastVerifiedAt: null,
        previousBlobs: [],
        metadata: {},
      },
    ]);
    expect((await listSeeds(use.store)).map(({ seedId }) => seedId)).toEqual([held.seedId, other, loose]);
  });

  test('lists an expired lease as none', async () => {
    await leasedSeed(-1);
    expect(await listSeeds(use.store)).toMatchObject([{ leased: false, holder: null }]);
  });

  test('removes the blobs of a deleted seed', async () => {
    const held = await leasedSeed();
    await saveBack(use.store, held, NEW, TASK);
    expect(await purgeSeed(use.store, held.seedId, { force: true })).toMatchObject({ kind: 'removed' });
    expect(await listSeeds(use.store)).toEqual([]);
    expect(await blobsOf(use.store)).toEqual([]);
  });
});
