import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { verifySeed } from '../../src/credentials/verify-seed.js';
import { endStrays } from '../../src/session/host/end-strays.js';
import { sweep } from '../../src/session/host/sweep-tasks.js';
import { listQuarantine } from '../../src/store/quarantine.js';
import { seedOf, useStore } from '../store/support.js';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { authOf, seedFor, taskFolders, testHost, type TestHost } from './host.js';

const use = useStore();
const never = new AbortController().signal;

let oauth: OAuthServer;
let each: TestHost;
beforeEach(async () => {
  oauth = await startOAuthServer();
  each = await testHost(use.store, oauth.env);
});

const staleSeed = () =>
  seedFor(use.store, oauth, oauth.login({ lastRefresh: new Date(Date.now() - 9 * 86_400_000) }));

/** Holds the verification in one of its requests for tokens, the first one with 0. */
function holdIn(request: number) {
  const helds = Array.from({ length: request + 1 }, () => oauth.hold());
  for (const held of helds.slice(0, -1)) held.release();
  return helds.at(-1)!;
}

test.each([
  { step: 'while codex refreshes', request: 0, refusals: [] },
  {
    step: 'while a login that codex gave up is tried once more',
    request: 1,
    refusals: [{ status: 401, code: 'refresh_token_reused' }],
  },
])('a cleaner of the host leaves a verification alone: $step', async ({ request, refusals }) => {
  const seedId = await staleSeed();
  oauth.refuse(...refusals);
  const held = holdIn(request);
  const verifying = verifySeed(each.host, seedId, never);
  await held.arrived;
  const { lease } = await seedOf(use.store, seedId);
  for (let sweeps = 0; sweeps < 3; sweeps++) await sweep(each.host);
  await endStrays(each.host);
  expect((await seedOf(use.store, seedId)).lease).toMatchObject({ holder: lease!.holder });
  const [folder] = await taskFolders(each.dataDir);
  expect(folder).toMatch(/^verify-/);
  held.release();
  expect(await verifying).toMatchObject({ verdict: 'alive', rotated: true });
  expect(oauth.isGood(await authOf(use.store, seedId))).toBe(true);
  expect(oauth.refreshes().filter(({ gone }) => gone)).toEqual([]);
  expect(await listQuarantine(use.store, seedId)).toEqual([]);
  expect(await seedOf(use.store, seedId)).toMatchObject({ lease: null, status: 'alive' });
  expect(each.logged.map(({ msg }) => msg)).not.toContain('task.reaped');
  expect(await taskFolders(each.dataDir)).toEqual([]);
});

test('a token given to the worker itself reaches the seed though its folder is gone', async () => {
  const seedId = await staleSeed();
  oauth.refuse({ status: 401, code: 'refresh_token_reused' });
  const held = holdIn(1);
  const verifying = verifySeed(each.host, seedId, never);
  await held.arrived;
  const [name] = await taskFolders(each.dataDir);
  const root = join(each.dataDir, 'tasks', name!);
  await rm(root, { recursive: true });
  held.release();
  expect(await verifying).toMatchObject({ verdict: 'alive', reason: 'refreshed', rotated: true });
  expect(oauth.isGood(await authOf(use.store, seedId))).toBe(true);
  expect(existsSync(root)).toBe(false);
});

test('a disk fault before a verification does not mark the account, and leaves nothing', async () => {
  const seedId = await staleSeed();
  await rm(join(each.dataDir, 'tasks'), { recursive: true });
  await writeFile(join(each.dataDir, 'tasks'), '');
  expect(await verifySeed(each.host, seedId, never)).toMatchObject({ verdict: 'inconclusive' });
  expect(await seedOf(use.store, seedId)).toMatchObject({ lease: null });
  expect(oauth.refreshes()).toEqual([]);
});
