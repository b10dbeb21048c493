import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { assignSeed } from '../../src/store/assign-seed.js';
import { quarantineAuth } from '../../src/store/quarantine.js';
import { unpackSeed } from '../../src/store/seed-archive.js';
import { saveBack } from '../../src/store/seeds.js';
import { auth, lease, useStore } from '../store/support.js';
import { makeFolder } from '../support/folders.js';
import { runHere } from './run-here.js';

const KEY = `k1:${Buffer.alloc(32, 1).toString('base64')}`;
const SECRET = 'the-refresh-token';

const use = useStore();
let files: { path: string; remove: () => Promise<void> };
let folder: string;
let output: string;

/** `toMatchObject` alone takes every text for a match of a pattern. */
const matching = (pattern: RegExp) => expect.stringMatching(pattern) as string;

/** Runs `codex-task seeds …`; the environment may be changed by a first argument. */
async function seeds(given: NodeJS.ProcessEnv | string, ...rest: string[]) {
  const args = typeof given === 'string' ? [given, ...rest] : rest;
  const env = { MONGODB_URI: use.uri, CODEX_TASK_MONGO_PREFIX: use.store.prefix };
  const run = await runHere(['seeds', ...args], {
    env: typeof given === 'string' ? env : { ...env, ...given },
  });
  output += run.stdout + run.stderr;
  return run;
}

async function add(pool = 'main', ...more: string[]): Promise<string> {
  const file = join(folder, 'auth.json');
  await writeFile(file, auth(SECRET, '2026-01-01T00:00:00Z'));
  const added = await seeds('add', '--auth-json', file, '--pool', pool, ...more, '--json');
  expect(added).toMatchObject({ code: 0, stderr: '' });
  return added.json()[0]!['seedId'] as string;
}

beforeAll(async () => {
  files = await makeFolder();
});
beforeEach(async () => {
  output = '';
  folder = await mkdtemp(join(files.path, 'f-'));
});
afterAll(() => files.remove());

it('adds, lists, shows, marks, assigns and removes a seed, without its credential', async () => {
  const seedId = await add('main', '--metadata', 'owner=me', '--metadata', 'note=a=b');
  const [listed] = (await seeds('list', '--pool', 'main', '--json')).json();
  expect(listed).toMatchObject({
    seedId,
    pool: 'main',
    state: 'free',
    metadata: { owner: 'me', note: 'a=b' },
  });
  expect((await seeds('list', '--pool', 'other')).stderr).toBe('No seeds in the pool other.\n');
  await seeds('mark', seedId, 'dead');
  expect((await seeds('list')).stdout).toContain(`${seedId}  main              dead`);
  await seeds('mark', seedId, 'alive');
  await seeds('assign', seedId, '--pool', 'b', '--metadata', 'limitedUntil=2999-01-01');
  expect((await seeds('show', seedId, '--json')).json()).toMatchObject([
    { pool: 'b', state: 'limited', limitedUntil: '2999-01-01T00:00:00.000Z', quarantined: 0 },
  ]);
  expect(await seeds('delete', seedId)).toMatchObject({ code: 0, stdout: `deleted ${seedId}\n` });
  expect(await seeds('purge', seedId)).toMatchObject({ code: 3 });
  expect(output).not.toContain(SECRET);
});

it('shows what is known of an account, with its age', async () => {
  const seedId = await add();
  const at = new Date('2026-11-30T10:00:00Z');
  const metadata = {
    accounts: [{ summary: 'a@example.org (team): 5h 25%', lifetime_tokens: 123 }],
    accountFetchedAt: at,
    usageLimit: { kind: 'credits', limitId: 'codex', times: 2, at },
    limitedUntil: new Date('2999-01-01'),
  };
  await assignSeed(use.store, seedId, { metadata });
  const usage = 'a@example.org (team): 5h 25%, 123 tokens in all, read 2026-11-30T10:00:00.000Z';
  const limit = 'limited until 2999-01-01T00:00:00.000Z (credits, 2 in a row)';
  for (const { stdout } of [await seeds('list'), await seeds('show', seedId)]) {
    expect(stdout).toContain(usage);
    expect(stdout).toContain(limit);
  }
  expect((await seeds('show', seedId, '--json')).json()).toMatchObject([
    { limit: { kind: 'credits', times: 2 }, usage: { lifetimeTokens: 123, readAt: at.toISOString() } },
  ]);
});

it('exports a seed to a file of its owner’s, encrypted in the database alone', async () => {
  const file = join(folder, 'seed.tar.gz');
  const seedId = await add();
  expect((await seeds({ CODEX_TASK_SEED_KEY: KEY }, 'rekey', '--json')).json()).toMatchObject([
    { key: 'k1', rewritten: 1, failed: [] },
  ]);
  expect(await seeds('export', seedId, file)).toMatchObject({ code: 1, stderr: matching(/"k1"/) });
  expect(await seeds({ CODEX_TASK_SEED_KEY: KEY }, 'export', seedId, file)).toMatchObject({ code: 0 });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await unpackSeed(await readFile(file))).authJson).toEqual(auth(SECRET, '2026-01-01T00:00:00Z'));
  expect(await seeds({ CODEX_TASK_SEED_KEY: KEY }, 'export', seedId, file)).toMatchObject({ code: 2 });
  expect((await seeds('list', '--json')).json()).toMatchObject([{ seedId, pool: null, state: 'exported' }]);
  expect(await seeds('import', file, '--pool', 'copy')).toMatchObject({ code: 0 });
  expect((await seeds('list', '--json')).json()).toMatchObject([
    { seedId, state: 'duplicate' },
    { pool: 'copy', state: 'free' },
  ]);
  const wrong = await seeds('rekey');
  expect(wrong).toMatchObject({ code: 1, stdout: expect.stringContaining('"k1"') as string });
  expect(output).not.toContain(SECRET);
  expect(output).not.toContain(KEY.slice(3));
});

it('restores from quarantine or previous credentials, and refuses what would harm', async () => {
  const seedId = await add();
  const held = await lease(use.store, { seedId }, 'task-1/run-1');
  await saveBack(use.store, held, auth('newer', '2026-01-02T00:00:00Z'), { taskId: 'task-1' });
  const why = { taskId: 'task-1', reason: 'lost' };
  const record = await quarantineAuth(use.store, held, auth('newest', '2026-01-03T00:00:00Z'), why);
  const stale = await quarantineAuth(use.store, held, auth('stale', '2025-01-03T00:00:00Z'), why);
  expect((await seeds('quarantine', 'list', '--seed', seedId, '--json')).json()).toMatchObject([
    { quarantineId: stale },
    { quarantineId: record, seedId, reason: 'lost' },
  ]);
  for (const args of [
    ['export', seedId, join(folder, 'x')],
    ['delete', seedId],
    ['purge', seedId],
  ])
    expect(await seeds(...(args as [string]))).toMatchObject({
      code: 1,
      stderr: matching(/is leased to task-1\/run-1/),
    });
  const refused = await seeds('quarantine', 'restore', record, '--json');
  expect(refused.json()).toMatchObject([{ error: { code: 'LeaseRefused' } }]);
  const { releaseLease } = await import('../../src/store/leases.js');
  await releaseLease(use.store, held);
  expect(await seeds('quarantine', 'restore', record)).toMatchObject({
    code: 0,
    stdout: matching(/^restored/),
  });
  expect(await seeds('quarantine', 'restore', stale)).toMatchObject({
    code: 2,
    stderr: matching(/newer credential/),
  });
  expect(await seeds('quarantine', 'delete', stale)).toMatchObject({ code: 0 });
  expect((await seeds('quarantine', 'list')).stderr).toBe('Nothing is in quarantine.\n');
  const [newest, first] = (await seeds('previous', 'list', seedId, '--json')).json();
  expect(newest).toMatchObject({ storedAt: expect.any(String) as string });
  const back = ['previous', 'restore', seedId, first!['blobId'] as string] as const;
  expect(await seeds(...back)).toMatchObject({ code: 2, stderr: matching(/--force/) });
  expect(await seeds(...back, '--force')).toMatchObject({ code: 0 });
});

it.each([
  ['show x', 3, 'Seed "x" is unknown'],
  ['mark x dead', 3, 'Seed "x" is unknown'],
  ['export x y', 3, 'Seed "x" is unknown'],
  ['previous list x', 3, 'Seed "x" is unknown'],
  ['quarantine show x', 3, 'Quarantine record "x" is unknown'],
  ['assign x', 2, 'give --pool, --metadata or both'],
  ['add --pool p', 2, "required option '--auth-json <file>'"],
  ['add --pool p --auth-json /nowhere', 2, '/nowhere cannot be read'],
  ['add --pool p --auth-json /nowhere --metadata x', 2, '--metadata: expected key=value'],
  ['import /dev/null --pool p', 2, 'Not a seed archive'],
])('seeds %s: exits with %i and prints one line', async (line, code, said) => {
  const [first = '', ...rest] = line.split(' ');
  const run = await seeds(first, ...rest);
  expect(run).toMatchObject({ code, stdout: '' });
  expect(run.stderr.trimEnd().split('\n')).toEqual([expect.stringContaining(said) as string]);
});

it('stores a login once, whichever command adds it, and reports its file’s fate', async () => {
  const file = join(folder, 'once.json');
  await writeFile(file, auth('once'));
  const first = await seeds('add', '--auth-json', file, '--pool', 'main');
  expect(first.stdout).toContain(`Now delete ${file}`);
  const seedId = /[0-9a-f]{24}/.exec(first.stdout)![0];
  expect(await seeds('add', '--auth-json', file, '--pool', 'other')).toMatchObject({
    code: 2,
    stderr: matching(new RegExp(`${seedId} of the pool "main".*--force`)),
  });
  expect(await seeds('add', '--auth-json', file, '--pool', 'other', '--force', '--move')).toMatchObject({
    code: 0,
  });
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  expect((await seeds('list', '--json')).json()).toMatchObject([
    { seedId, state: 'duplicate' },
    { pool: 'other', state: 'free' },
  ]);
});

it('takes an exported seed out of its pool, unless told to keep it or the file fails', async () => {
  const seedId = await add();
  const file = join(folder, 'seed.tar.gz');
  expect(await seeds('export', seedId, file, '--keep')).toMatchObject({ code: 0 });
  expect((await seeds('list', '--json')).json()).toMatchObject([{ state: 'free', pool: 'main' }]);
  expect(await seeds('export', seedId, file)).toMatchObject({ code: 2 });
  expect((await seeds('list', '--json')).json()).toMatchObject([{ state: 'free', pool: 'main' }]);
  expect(await seeds('export', seedId, join(folder, 'other.tar.gz'))).toMatchObject({ code: 0 });
  expect((await seeds('list', '--json')).json()).toMatchObject([{ state: 'exported', pool: null }]);
  expect(await seeds('assign', seedId, '--pool', 'back')).toMatchObject({ code: 0 });
  expect((await seeds('list', '--json')).json()).toMatchObject([{ state: 'free', pool: 'back' }]);
});

it('refuses to export or remove a seed whose expired lease nobody has cleared', async () => {
  const seedId = await add();
  await lease(use.store, { seedId }, 'task-1/run-1', -1_000);
  for (const args of [
    ['export', seedId, join(folder, 'x')],
    ['delete', seedId],
    ['purge', seedId],
  ])
    expect(await seeds(...(args as [string]))).toMatchObject({
      code: 1,
      stderr: matching(/is leased to task-1/),
    });
  expect(await seeds('export', seedId, join(folder, 'x'), '--force')).toMatchObject({ code: 0 });
});
