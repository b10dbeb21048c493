import { createSecretKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { readConfig } from '../../src/config.js';
import { readBlob } from '../../src/store/blobs.js';
import type { SeedKey, SeedKeys } from '../../src/store/cipher.js';
import { seedsOf } from '../../src/store/collections.js';
import { type Store } from '../../src/store/mongo.js';
import { listQuarantine, quarantineAuth, readQuarantined } from '../../src/store/quarantine.js';
import { rekeyAll, type Rekeyed } from '../../src/store/rekey.js';
import { putSecret } from '../../src/store/secret-blobs.js';
import { packSeed } from '../../src/store/seed-archive.js';
import { insertSeed, readSeed, saveBack } from '../../src/store/seeds.js';
import { auth, blobsOf, issued, lease, meanwhile, seedOf, useStore } from './support.js';
import { openStore } from '../../src/store/open-store.js';

const use = useStore();
const TASK = { taskId: 'task-1' };
const key = (id: string, fill = id): SeedKey => ({ id, key: createSecretKey(Buffer.alloc(32, fill)) });
const OLD = key('old');
const NEW = key('new');
const ring = (writes: SeedKey | null, ...reads: SeedKey[]): SeedKeys => ({ writes, reads });
const withKeys = (keys: SeedKeys): Store => ({ ...use.store, seedKeys: keys });

async function rekey(store: Store): Promise<Rekeyed[]> {
  const all: Rekeyed[] = [];
  for await (const each of rekeyAll(store)) all.push(each);
  return all;
}

/** What is kept aside was given out before what the seed has: it keeps nobody from it. */
const [ASIDE, FIRST, SECOND] = [issued('aside', 1), issued('first', 2), issued('second', 3)];

/** Every stored byte of this test's credentials. */
async function storedBytes(): Promise<string> {
  const ids = [...(await blobsOf(use.store)), ...(await blobsOf(use.store, 'quarantine'))];
  return (await Promise.all(ids.map((id) => readBlob(use.store, id)))).map(String).join('\n');
}

/** A seed with one previous blob and one record in quarantine. */
async function credentials(store: Store): Promise<{ seedId: string; quarantineId: string }> {
  const seedId = await insertSeed(store, { authJson: FIRST, pool: 'main' });
  const held = await lease(store, { seedId }, 'task-1/run-1');
  await saveBack(store, held, SECOND, TASK);
  const lost = { ...held, leaseEpoch: 0 };
  const quarantineId = await quarantineAuth(store, lost, ASIDE, { ...TASK, reason: 'lost' });
  return { seedId, quarantineId };
}

async function expectReadable(
  store: Store,
  { seedId, quarantineId }: { seedId: string; quarantineId: string },
) {
  expect((await readSeed(store, seedId))?.authJson).toEqual(SECOND);
  expect(await readQuarantined(store, quarantineId)).toEqual(ASIDE);
}

test('nothing is stored in the clear with a key, and it reads back', async () => {
  const store = withKeys(ring(OLD, OLD));
  const made = await credentials(store);
  const bytes = await storedBytes();
  // Three blobs: a gzip or JSON beginning would show a plain one.
  expect(bytes.match(/CTSEED1/g)).toHaveLength(3);
  expect(bytes).not.toMatch(/aside|\x1f\x8b/);
  await expectReadable(store, made);
});

test('the same credential is encrypted to other bytes each time', async () => {
  const store = withKeys(ring(OLD, OLD));
  const seedId = await insertSeed(store, { authJson: auth('a') });
  await putSecret(store, { kind: 'seed', seedId }, await packSeed({ authJson: auth('a') }));
  const [a, b] = await blobsOf(use.store);
  expect(await readBlob(use.store, a!)).not.toEqual(await readBlob(use.store, b!));
});

test('plain credentials are read with a key, and written encrypted from then on', async () => {
  const made = await credentials(use.store);
  const store = withKeys(ring(NEW, NEW));
  await expectReadable(store, made);
  const held = await lease(store, { seedId: made.seedId }, 'task-1/run-1');
  expect(await saveBack(store, held, auth('third'), TASK)).toMatchObject({ kind: 'saved' });
  expect((await storedBytes()).match(/CTSEED1/g)).toHaveLength(1);
  expect((await readSeed(store, made.seedId))?.authJson).toEqual(auth('third'));
});

test.each([
  [
    'a missing key',
    ring(NEW, NEW),
    /is encrypted with the key "old", which CODEX_TASK_SEED_KEY does not have/,
  ],
  ['no key', ring(null), /is encrypted with the key "old"/],
  ['another key of that name', ring(key('old', 'x'), key('old', 'x')), /does not open with the key "old"/],
])('%s is one clear error, and quarantines the refreshed credential', async (_, keys, message) => {
  const { seedId } = await credentials(withKeys(ring(OLD, OLD)));
  const store = withKeys(keys);
  const failure: unknown = await readSeed(store, seedId).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'HostUnfit', message: expect.stringMatching(message) as string });
  const held = await lease(withKeys(ring(OLD, OLD)), { seedId }, 'task-1/run-1');
  const before = await seedOf(use.store, seedId);
  expect(await saveBack(store, held, auth('fresh'), TASK)).toMatchObject({ kind: 'quarantined' });
  const [{ quarantineId } = { quarantineId: '' }] = await listQuarantine(store, seedId);
  expect(await readQuarantined(store, quarantineId)).toEqual(auth('fresh'));
  expect(await seedOf(use.store, seedId)).toEqual(before);
});

test('a blob in the place of another seed’s does not open', async () => {
  const store = withKeys(ring(OLD, OLD));
  const [a, b] = [
    await insertSeed(store, { authJson: auth('a') }),
    await insertSeed(store, { authJson: auth('b') }),
  ];
  const { _id } = await seedOf(use.store, a);
  await seedsOf(store).updateOne({ _id }, { $set: { blobId: (await seedOf(use.store, b)).blobId } });
  await expect(readSeed(store, a)).rejects.toThrow(/does not open with the key "old"/);
});

test('rekey rewrites current, previous and quarantined credentials once', async () => {
  const made = await credentials(withKeys(ring(OLD, OLD)));
  const before = await seedOf(use.store, made.seedId);
  const rotating = withKeys(ring(NEW, NEW, OLD));
  expect((await rekey(rotating)).map(({ outcome }) => outcome)).toEqual(['rewritten', 'rewritten']);
  const after = await seedOf(use.store, made.seedId);
  const { blobId: _a, previousBlobs: _b, loginBlob: _c, ...same } = after;
  const { blobId: _d, previousBlobs: _e, loginBlob: _f, ...asBefore } = before;
  expect(same).toEqual(asBefore);
  // It is the same login, so whoever holds the seed keeps the right to save.
  expect([before.loginBlob, after.loginBlob]).toEqual([before.blobId, after.blobId]);
  expect(after.previousBlobs).toHaveLength(1);
  const bytes = await storedBytes();
  expect([bytes.match(/CTSEED1/g)?.length, bytes.match(/\x03new/g)?.length]).toEqual([3, 3]);
  await expectReadable(withKeys(ring(NEW, NEW)), made);
  expect((await rekey(rotating)).map(({ outcome }) => outcome)).toEqual(['unchanged', 'unchanged']);
  expect(await seedOf(use.store, made.seedId)).toEqual(after);
});

test('rekey without a key that writes decrypts', async () => {
  const made = await credentials(withKeys(ring(OLD, OLD)));
  await rekey(withKeys(ring(null, OLD)));
  expect(await storedBytes()).not.toContain('CTSEED1');
  await expectReadable(use.store, made);
});

test('rekey names what it cannot open and continues with the rest', async () => {
  const closed = await insertSeed(withKeys(ring(OLD, OLD)), { authJson: auth('closed') });
  const open = await insertSeed(use.store, { authJson: auth('open') });
  expect(await rekey(withKeys(ring(NEW, NEW)))).toEqual([
    { kind: 'seed', id: closed, outcome: 'failed', reason: expect.stringContaining('"old"') as string },
    { kind: 'seed', id: open, outcome: 'rewritten' },
  ]);
});

test('a worker that lacks the new key loses nothing in a save', async () => {
  const store = withKeys(ring(OLD, OLD));
  const { seedId } = await credentials(store);
  const held = await lease(store, { seedId }, 'task-1/run-1');
  const rotating = withKeys(ring(NEW, NEW, OLD));
  // It has read the seed when all of the blobs are replaced, by a key that its worker does not have yet.
  const racing = meanwhile(store, 1, () => rekey(rotating));
  expect(await saveBack(racing, held, auth('third'), TASK)).toMatchObject({ kind: 'quarantined' });
  expect(await saveBack(rotating, held, auth('fourth'), TASK)).toMatchObject({ kind: 'saved' });
  expect((await readSeed(rotating, seedId))?.authJson).toEqual(auth('fourth'));
  const kept = (await listQuarantine(rotating, seedId)).map(({ quarantineId }) =>
    readQuarantined(rotating, quarantineId),
  );
  expect(await Promise.all(kept)).toContainEqual(auth('third'));
});

test.each([
  [`a:${Buffer.alloc(32, 1).toString('base64')}`, 'a', ['a']],
  [`plain,a:${Buffer.alloc(32, 1).toString('base64')}`, null, ['a']],
  [
    `b:${Buffer.alloc(32, 2).toString('base64url')} , a:${Buffer.alloc(32, 1).toString('base64')}`,
    'b',
    ['b', 'a'],
  ],
  [Buffer.alloc(32, 1).toString('base64'), 'key-72cd6e84', ['key-72cd6e84']],
  ['', null, []],
])('the setting %s', (text, writes, reads) => {
  const { seedKeys } = readConfig({ CODEX_TASK_SEED_KEY: text });
  expect([seedKeys.writes?.id ?? null, seedKeys.reads.map(({ id }) => id)]).toEqual([writes, reads]);
});

test.each([
  'hush',
  `a:${Buffer.alloc(31).toString('base64')}`,
  `a b:${Buffer.alloc(32).toString('base64')}`,
  'a:,b:',
])('the setting %s is refused without repeating it', (text) => {
  expect(() => readConfig({ CODEX_TASK_SEED_KEY: text })).toThrow(
    /^Wrong settings: CODEX_TASK_SEED_KEY: expected keys of 32 bytes in base64, .*none does\)$/,
  );
});

test('a previous credential whose key is lost blocks no rekey and is deleted on request', async () => {
  const seedId = await insertSeed(withKeys(ring(OLD, OLD)), { authJson: auth('first'), pool: 'main' });
  const held = await lease(withKeys(ring(OLD, OLD)), { seedId }, 'task-1/run-1');
  const both = withKeys(ring(NEW, NEW, OLD));
  await saveBack(both, held, auth('second'), TASK);
  const { previousBlobs } = await seedOf(use.store, seedId);
  const lost = withKeys(ring(null, NEW));
  const left = {
    blobId: previousBlobs![0]!.toHexString(),
    reason: expect.stringContaining('"old"') as string,
  };
  expect(await rekey(lost)).toEqual([
    { kind: 'seed', id: seedId, outcome: 'rewritten', lost: [{ ...left, dropped: false }] },
  ]);
  expect((await readSeed(use.store, seedId))?.authJson).toEqual(auth('second'));
  expect((await seedOf(use.store, seedId)).previousBlobs).toEqual(previousBlobs);
  const dropping: Rekeyed[] = [];
  for await (const each of rekeyAll(lost, { dropLost: true })) dropping.push(each);
  expect(dropping).toMatchObject([{ outcome: 'rewritten', lost: [{ ...left, dropped: true }] }]);
  expect((await seedOf(use.store, seedId)).previousBlobs).toEqual([]);
  expect((await readSeed(use.store, seedId))?.authJson).toEqual(auth('second'));
  expect(await blobsOf(use.store)).toHaveLength(1);
});

test('the encrypted-only setting reads no plain credential, and needs a key to start', async () => {
  const { prefix } = use.store;
  const open = (keys: SeedKeys) => openStore({ uri: use.uri, prefix, seedKeys: keys });
  const planted = await insertSeed(use.store, { authJson: auth('planted'), pool: 'main' });
  const first = await open({ ...ring(NEW, NEW), only: true });
  await expect(readSeed(first, planted)).rejects.toMatchObject({
    code: 'HostUnfit',
    message: expect.stringContaining('is not encrypted') as string,
  });
  const seedId = await insertSeed(first, { authJson: auth('sealed'), pool: 'main' });
  await first.close();
  // It has lost its environment, or does not know of the decision.
  await expect(open(ring(null))).rejects.toMatchObject({ code: 'BadInput' });
  const second = await open(ring(NEW, NEW));
  await expect(readSeed(second, planted)).rejects.toMatchObject({ code: 'HostUnfit' });
  expect((await readSeed(second, seedId))?.authJson).toEqual(auth('sealed'));
  await second.close();
});

test.each([
  [`only,a:${Buffer.alloc(32, 1).toString('base64')}`, 'a'],
  [`only,a:${Buffer.alloc(32, 1).toString('base64')},b:${Buffer.alloc(32, 2).toString('base64')}`, 'a'],
])('%s writes with the first key and reads nothing plain', (text, id) => {
  const { seedKeys } = readConfig({ CODEX_TASK_SEED_KEY: text });
  expect([seedKeys.writes?.id, seedKeys.only]).toEqual([id, true]);
});

test.each(['only', `only,plain,a:${Buffer.alloc(32, 1).toString('base64')}`])('%s is refused', (text) => {
  expect(() => readConfig({ CODEX_TASK_SEED_KEY: text })).toThrow(/CODEX_TASK_SEED_KEY/);
});
