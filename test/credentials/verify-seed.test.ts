import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ObjectId } from 'mongodb';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { adoptTasks } from '../../src/session/host/adopt-tasks.js';
import { verifySeed } from '../../src/credentials/verify-seed.js';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { markSeed } from '../../src/store/assign-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { renewLease } from '../../src/store/leases.js';
import type { Store } from '../../src/store/mongo.js';
import { listQuarantine, readQuarantined } from '../../src/store/quarantine.js';
import { findSeedInfo } from '../../src/store/seed-info.js';
import { insertSeed } from '../../src/store/seeds.js';
import { isAlive } from '../../src/process/process-identity.js';
import { readProcessRecord } from '../../src/task-folder/process-record.js';
import { foreignAcquire, MINUTE, lease as leaseSeed, seedOf, useStore } from '../store/support.js';
import { elapse } from '../support/elapse.js';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { until } from '../support/until.js';
import { authOf, refreshTokenOf, seedFor, taskFolders, testHost, type TestHost } from './host.js';

const use = useStore();
const DAY = 86_400_000;
const ago = (days: number) => new Date(Date.now() - days * DAY);
const never = new AbortController().signal;

let oauth: OAuthServer;
let store: Store;
let test: TestHost;
beforeEach(async () => {
  oauth = await startOAuthServer();
  store = use.store;
  test = await testHost(store, oauth.env);
});

const verify = (seedId: string, signal = never) => verifySeed(test.host, seedId, signal);
const stale = () => oauth.login({ lastRefresh: ago(9) });

describe('a seed that works', () => {
  it('is refreshed when stale: the seed gets the new token, and nothing is left behind', async () => {
    const before = stale();
    const seedId = await seedFor(store, oauth, before);
    expect(await verify(seedId)).toEqual({
      seedId,
      verdict: 'alive',
      reason: 'refreshed',
      rotated: true,
      account: 'acc-1@example.org (plus)',
    });
    expect(oauth.refreshes()).toHaveLength(1);
    const after = await authOf(store, seedId);
    expect(refreshTokenOf(after)).not.toBe(refreshTokenOf(before));
    expect(oauth.isGood(after)).toBe(true);
    const { status, lease, lastVerifiedAt, metadata } = await seedOf(store, seedId);
    expect({ status, lease }).toEqual({ status: 'alive', lease: null });
    expect(lastVerifiedAt).toBeInstanceOf(Date);
    expect(metadata).toMatchObject({
      verify: { alive: true, checkedAt: expect.any(Date) as Date, verdict: 'alive' },
      accounts: [{ email: 'acc-1@example.org', plan: 'plus', account_id: 'acc-1', windows: [] }],
    });
    expect(await taskFolders(test.dataDir)).toEqual([]);
  });

  it('is not refreshed when fresh', async () => {
    const before = oauth.login({ lastRefresh: ago(7) });
    const seedId = await seedFor(store, oauth, before);
    expect(await verify(seedId)).toMatchObject({ verdict: 'alive', rotated: false });
    expect(oauth.refreshes()).toEqual([]);
    expect(await authOf(store, seedId)).toEqual(before);
  });

  it('is refreshed by codex, though fresh, when its access token has expired', async () => {
    const seedId = await seedFor(store, oauth, oauth.login({ expiresIn: -60 }));
    expect(await verify(seedId)).toMatchObject({ verdict: 'alive', rotated: true });
    expect(oauth.isGood(await authOf(store, seedId))).toBe(true);
  });

  it('is refreshed though fresh when the backend refuses its access token', async () => {
    const backend = createServer((_request, response) => response.writeHead(401).end('{}'));
    backend.listen(0, '127.0.0.1');
    await once(backend, 'listening');
    onTestFinished(() => void backend.close());
    const backendUrl = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
    const seedId = await seedFor(store, { ...oauth, backendUrl }, oauth.login());
    expect(await verify(seedId)).toMatchObject({ verdict: 'alive', rotated: true });
    expect(oauth.isGood(await authOf(store, seedId))).toBe(true);
  });

  it('gets its usage recorded, without a token, and is limited until its window resets', async () => {
    const reset = Math.floor(Date.now() / 1000) + 3600;
    const window = { limit_window_seconds: 18_000, reset_after_seconds: 3600, reset_at: reset };
    const rate_limit = {
      allowed: false,
      limit_reached: true,
      primary_window: { ...window, used_percent: 100 },
    };
    oauth.usage = { plan_type: 'plus', rate_limit };
    oauth.profile = { stats: { lifetime_tokens: 123_456 } };
    const login = oauth.login();
    const seedId = await seedFor(store, oauth, login);
    expect(await verify(seedId)).toMatchObject({ account: 'acc-1@example.org (plus): 5h 100%' });
    const { metadata } = await seedOf(store, seedId);
    expect(metadata).toMatchObject({
      limitedUntil: new Date(reset * 1000),
      accounts: [{ windows: [{ label: '5h', pct: 100, resets_at: new Date(reset * 1000).toISOString() }] }],
    });
    expect(await findSeedInfo(store, seedId)).toMatchObject({
      usage: {
        readAt: expect.any(Date) as Date,
        summary: 'acc-1@example.org (plus): 5h 100%',
        lifetimeTokens: 123_456,
      },
    });
    expect(JSON.stringify(metadata)).not.toContain('rt-acc');
    expect(JSON.stringify(metadata)).not.toContain('eyJ');
    expect(await acquireSeed(store, { pool: 'p' }, 'task', MINUTE)).toEqual({ kind: 'busy' });
    // The window stays full, and credits were bought.
    const credits = { has_credits: true, unlimited: false, balance: '12' };
    oauth.usage = { plan_type: 'plus', rate_limit, credits };
    await verify(seedId);
    expect((await seedOf(store, seedId)).metadata).not.toHaveProperty('limitedUntil');
    expect(await acquireSeed(store, { pool: 'p' }, 'task', MINUTE)).toMatchObject({ kind: 'leased' });
  });

  it('is alive with an API key, without starting codex or sending a request', async () => {
    const seedId = await insertSeed(store, { authJson: Buffer.from('{"OPENAI_API_KEY":"sk-1"}') });
    expect(await verify(seedId)).toMatchObject({ verdict: 'alive', rotated: false });
    expect(oauth.requests).toEqual([]);
  });

  it('is marked alive again when it was marked dead', async () => {
    const seedId = await seedFor(store, oauth, stale());
    await markSeed(store, seedId, 'dead');
    expect(await verify(seedId)).toMatchObject({ verdict: 'alive' });
    expect(await leaseSeed(store, { seedId }, 'task')).toMatchObject({ seedId });
  });
});

describe('a verification', () => {
  it.each(['refresh_token_reused', 'refresh_token_expired', 'refresh_token_invalidated'])(
    'marks a seed dead when its refresh is refused with %s, twice',
    async (code) => {
      const seedId = await seedFor(store, oauth, stale());
      oauth.refuse({ status: 401, code }, { status: 401, code });
      expect(await verify(seedId)).toMatchObject({ verdict: 'dead', reason: code, rotated: false });
      expect((await seedOf(store, seedId)).status).toBe('dead');
      expect(await acquireSeed(store, { pool: 'p' }, 'task', MINUTE)).toMatchObject({ kind: 'none' });
      expect(await taskFolders(test.dataDir)).toEqual([]);
    },
  );

  it('does not mark a seed dead for one odd answer: the second refresh saves its token', async () => {
    const seedId = await seedFor(store, oauth, stale());
    oauth.refuse({ status: 401 });
    expect(await verify(seedId)).toMatchObject({ verdict: 'alive', rotated: true });
    expect(oauth.isGood(await authOf(store, seedId))).toBe(true);
  });

  it('marks a seed dead that has tokens without a refresh token', async () => {
    const content = { tokens: { access_token: 'a' } };
    const seedId = await insertSeed(store, { authJson: Buffer.from(JSON.stringify(content)) });
    expect(await verify(seedId)).toMatchObject({ verdict: 'dead' });
    expect(oauth.requests).toEqual([]);
  });
});

describe('a verification that cannot decide', () => {
  it.each([429, 403, 500, 503])(
    'leaves the seed as it is when the refresh is answered with %i',
    async (status) => {
      const before = stale();
      const seedId = await seedFor(store, oauth, before);
      oauth.refuse(...Array.from({ length: 12 }, () => ({ status })));
      const found = await verify(seedId);
      expect(found).toMatchObject({ verdict: 'inconclusive', rotated: false });
      expect(found.reason).toContain(String(status));
      expect((await seedOf(store, seedId)).status).toBeUndefined();
      expect(await authOf(store, seedId)).toEqual(before);
    },
  );

  it('starts no codex when nobody answers at the endpoint', async () => {
    const seedId = await seedFor(store, oauth, stale());
    await oauth.close();
    expect(await verify(seedId)).toMatchObject({ verdict: 'inconclusive', rotated: false });
    expect((await seedOf(store, seedId)).metadata).toMatchObject({ verify: { alive: false } });
  });

  it('leaves lease and seed alone while a task holds the seed', async () => {
    const seedId = await seedFor(store, oauth, stale());
    const lease = await leaseSeed(store, { seedId }, 'task-1/run');
    expect(await verify(seedId)).toEqual({
      seedId,
      verdict: 'inconclusive',
      reason: 'in use by task-1/run',
      rotated: false,
    });
    expect(await renewLease(store, lease, MINUTE)).toBe(true);
    expect(oauth.requests).toEqual([]);
    expect((await seedOf(store, seedId)).metadata).toBeUndefined();
  });

  it('quarantines the token and leaves the seed when its lease is lost meanwhile', async () => {
    const before = stale();
    const seedId = await seedFor(store, oauth, before);
    const held = oauth.hold();
    const verifying = verify(seedId);
    await held.arrived;
    await foreignAcquire(store, seedId, 'other');
    held.release();
    expect(await verifying).toMatchObject({ verdict: 'inconclusive' });
    const [record] = await listQuarantine(store, seedId);
    expect(oauth.isGood((await readQuarantined(store, record!.quarantineId))!)).toBe(true);
    expect(await authOf(store, seedId)).toEqual(before);
    expect((await seedOf(store, seedId)).lease?.holder).toBe('other');
    expect(await taskFolders(test.dataDir)).toEqual([]);
  });

  it('fails for an unknown seed', async () => {
    await expect(verify(new ObjectId().toHexString())).rejects.toMatchObject({ code: 'NotFound' });
    await expect(verify('nonsense')).rejects.toMatchObject({ code: 'NotFound' });
  });
});

it('a cancelled verification saves its token, releases the lease and ends Codex', async () => {
  const seedId = await seedFor(store, oauth, stale());
  const held = oauth.hold();
  const cancelled = new AbortController();
  const verifying = verify(seedId, cancelled.signal);
  await held.arrived;
  const [name] = await taskFolders(test.dataDir);
  const record = await readProcessRecord(taskFolder(test.dataDir, name!));
  cancelled.abort(new Error('cancelled'));
  expect(await Promise.race([verifying, elapse(300)])).toBeUndefined();
  held.release();
  expect(await verifying).toMatchObject({ verdict: 'alive', rotated: true });
  expect(oauth.isGood(await authOf(store, seedId))).toBe(true);
  expect(await isAlive(record!)).toBe(false);
  expect((await seedOf(store, seedId)).lease).toBeNull();
  expect(await taskFolders(test.dataDir)).toEqual([]);
});

it('the next start after a crash saves the token, releases the lease and ends Codex', async () => {
  const seedId = await seedFor(store, oauth, stale());
  // The worker's end: from here on its database is deaf to the verification that goes on in this process.
  const held = oauth.hold();
  const dying = { ...test.host, store: { ...store, db: deaf() } };
  const cancelled = new AbortController();
  let isDeaf = false;
  function deaf(): Store['db'] {
    return new Proxy(store.db, {
      get(target, name) {
        if (isDeaf && name === 'collection') throw new Error('gone');
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }
  const verifying = verifySeed(dying, seedId, cancelled.signal).catch((error: unknown) => error);
  await held.arrived;
  isDeaf = true;
  cancelled.abort(new Error('the worker ends'));
  held.release();
  expect(await verifying).toMatchObject({ code: 'Unavailable' });
  const [name] = await taskFolders(test.dataDir);
  expect(name).toMatch(new RegExp(`^verify-${seedId}-`));
  expect(oauth.isGood(await authOf(store, seedId))).toBe(false);

  await adoptTasks(test.host);
  expect(oauth.isGood(await authOf(store, seedId))).toBe(true);
  expect((await seedOf(store, seedId)).lease).toBeNull();
  expect(await taskFolders(test.dataDir)).toEqual([]);
  expect(await seedsOf(store).countDocuments({})).toBe(1);
});

it('a verification logs no token', async () => {
  const before = stale();
  const seedId = await seedFor(store, oauth, before);
  await verify(seedId);
  await until('the verdict in the log', () => test.logged.some(({ msg }) => msg === 'seed.verified'));
  const log = JSON.stringify(test.logged);
  for (const auth of [before, await authOf(store, seedId)]) expect(log).not.toContain(refreshTokenOf(auth));
  expect(log).not.toContain('eyJ');
});
