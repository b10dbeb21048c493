import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assistantMessage, commandCall, fail, hold, outputsOfTurn } from '../../../src/dev/model-server.js';
import { uptimeSeconds, writeDeadline } from '../../../src/process/deadline.js';
import { isAlive } from '../../../src/process/process-identity.js';
import { endSession } from '../../../src/session/task/end-task.js';
import { saveForGood } from '../../../src/session/account/save-credential.js';
import { stopSessions } from '../../../src/session/host/stop-sessions.js';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { listQuarantine, readQuarantined } from '../../../src/store/quarantine.js';
import { readSeed } from '../../../src/store/seeds.js';
import { elapse } from '../../support/elapse.js';
import { until } from '../../support/until.js';
import { POOL, savedHash, startAccountSession, type AccountSession } from './account-session.js';
import { fingerprint } from '../../../src/store/seed-archive.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const reasons = ({ oauth }: AccountSession) => oauth.refreshes().map(({ reason }) => reason);
const credentialEvent = (each: AccountSession, kind: string) =>
  each.saw('x-optio-credential', (event) => event['kind'] === kind);

/** A turn whose model request was refused: codex is refreshing, and the answer waits for the test. */
async function refreshing(each: AccountSession) {
  const held = each.oauth.hold();
  await each.send('go');
  await held.arrived;
  expect(each.oauth.isGood(await each.onDisk())).toBe(false);
  return held;
}

test('a stopping worker waits for a refresh in flight and saves its tokens in the seed', async () => {
  const each = await startAccountSession();
  const held = await refreshing(each);
  const stopped = stopSessions(each.host);
  await until('a second refresh asked for', () => each.session.closed);
  expect(await isAlive(each.session.record)).toBe(true);
  held.release();
  await stopped;
  expect(await isAlive(each.session.record)).toBe(false);
  expect(each.oauth.isGood(await each.inSeed())).toBe(true);
  expect(reasons(each)).toEqual(['unauthorized_recovery', 'forced']);
  expect(each.oauth.refreshes().every(({ gone, status }) => !gone && status === 200)).toBe(true);
});

test('an interrupt waits for a refresh in flight, then ends the turn', async () => {
  const each = await startAccountSession({
    script: (oauth) => () =>
      oauth.refreshes().length === 0 ? [fail(401)] : [hold(new Promise(() => undefined))],
  });
  const held = await refreshing(each);
  const interrupted = each.session.thread.interrupt();
  // Long enough for codex to hear of it and to drop its refresh.
  await elapse(500);
  held.release();
  await interrupted;
  const { params } = await each.saw('turn/completed');
  expect(params).toMatchObject({ turn: { status: 'interrupted' } });
  expect(each.oauth.isGood(await each.onDisk())).toBe(true);
  expect(each.oauth.refreshes().some(({ gone }) => gone)).toBe(false);
});

test('stops and interrupts refresh nothing while Codex makes no request', async () => {
  const each = await startAccountSession({
    script: () => (request) =>
      outputsOfTurn(request).length === 0 ? [commandCall('sleep 60')] : [assistantMessage('done')],
  });
  await each.send('go');
  await each.saw('item/started', ({ params }) => JSON.stringify(params).includes('commandExecution'));
  await each.session.thread.interrupt();
  await each.saw('turn/completed');
  await endSession(each.host, REF);
  expect(each.oauth.refreshes()).toEqual([]);
});

test('Codex killed during a refresh: the stream and the workflow report the loss', async () => {
  const each = await startAccountSession();
  const held = await refreshing(each);
  process.kill(each.session.record.pid, 'SIGKILL');
  const event = await credentialEvent(each, 'refresh-lost');
  expect(event['message']).toContain(`seed ${each.lease.seedId}`);
  await until('a told workflow', () =>
    each.signals.some(({ argument }) => JSON.stringify(argument).includes('may have been refreshing')),
  );
  held.release();
  // Nothing new reached the disk: the seed keeps what it had, which the server has spent.
  expect(each.oauth.isGood(await each.inSeed())).toBe(false);
});

test('Codex killed outside a refresh: nothing is reported about its account', async () => {
  const each = await startAccountSession();
  process.kill(each.session.record.pid, 'SIGKILL');
  expect(await each.session.lost).toMatchObject({ isAlive: false });
  expect((await each.events()).some(({ type }) => type === 'x-optio-credential')).toBe(false);
});

test('a lost lease stops Codex without another refresh and quarantines its tokens', async () => {
  const each = await startAccountSession();
  const held = await refreshing(each);
  await each.steal();
  const stopped = endSession(each.host, REF, { atOnce: true });
  held.release();
  await stopped;
  expect(reasons(each)).toEqual(['unauthorized_recovery']);
  const state = await saveForGood(each.host, each.task, each.lease);
  const [record] = await listQuarantine(each.store, each.lease.seedId);
  expect(state.quarantineId).toBe(record!.quarantineId);
  expect(state.warnings.join()).toContain(
    `in quarantine as ${record!.quarantineId}: the lease is now held by other/r9`,
  );
  expect(each.oauth.isGood((await readQuarantined(each.store, record!.quarantineId))!)).toBe(true);
  expect(await credentialEvent(each, 'quarantined')).toMatchObject({ quarantineId: record!.quarantineId });
  expect(each.host.accounts).toEqual({ saved: 0, quarantined: 1 });
});

test('a revoked refresh token fails the task with CredentialDead and retires the seed', async () => {
  const each = await startAccountSession({ input: { mode: 'task' } });
  each.oauth.revoke(await each.inSeed());
  await each.send('go');
  const end = await each.session.thread.turns.whenEnded();
  expect(end).toMatchObject({ kind: 'failed', code: 'CredentialDead' });
  expect(end).toMatchObject({ message: expect.stringContaining('revoked') as string });
  expect(await each.seedStatus()).toBe('dead');
  await credentialEvent(each, 'dead');
  expect(await acquireSeed(each.store, { pool: POOL }, 'next/r2', 1_000)).toMatchObject({ kind: 'none' });
  expect(each.oauth.refreshes()).toHaveLength(1);
});

test('an OpenAI that fails or rate-limits for a while retires no seed', async () => {
  const each = await startAccountSession();
  each.oauth.refuse({ status: 503 }, { status: 429 });
  await each.send('go');
  const { params } = await each.saw('turn/completed');
  expect(params).toMatchObject({ turn: { status: 'completed' } });
  expect(await each.seedStatus()).not.toBe('dead');
});

test('a refresh by another holder fails the task with LeaseLost and keeps the seed', async () => {
  const each = await startAccountSession({ script: () => () => [fail(401)] });
  await each.steal();
  const { tokens } = JSON.parse((await each.inSeed()).toString()) as { tokens: { refresh_token: string } };
  const body = new URLSearchParams({ refresh_token: tokens.refresh_token });
  await fetch(each.oauth.tokenUrl, { method: 'POST', body });
  await each.send('go');
  const end = await each.session.thread.turns.whenEnded();
  expect(end).toMatchObject({ kind: 'failed', code: 'LeaseLost' });
  expect(await each.seedStatus()).not.toBe('dead');
});

test('an unwritable auth.json is reported at once and retires the seed, not the turn', async () => {
  const each = await startAccountSession();
  // Codex locks this file around its write; it is what fails for root too.
  const lock = join(each.task.folder.codexHome, 'auth.lock');
  await rm(lock, { force: true });
  await mkdir(lock);
  await each.send('go');
  const event = await credentialEvent(each, 'unwritable');
  expect(event['message']).toContain('could not write auth.json');
  const { params } = await each.saw('turn/completed');
  expect(params).toMatchObject({ turn: { status: 'completed' } });
  await until('a marked seed', async () => (await each.seedStatus()) === 'dead');
  expect(each.oauth.isGood(await each.onDisk())).toBe(false);
});

test('a refresh before a turn that Codex could not write is detected and retires the seed', async () => {
  const each = await startAccountSession({
    login: { expiresIn: 600 },
    script: () => () => [assistantMessage('done')],
  });
  const lock = join(each.task.folder.codexHome, 'auth.lock');
  await rm(lock, { force: true });
  await mkdir(lock);
  await each.send('go');
  expect(await each.session.thread.turns.whenEnded()).toMatchObject({
    kind: 'failed',
    code: 'CredentialDead',
  });
  expect(await each.seedStatus()).toBe('dead');
  expect(each.oauth.refreshes().map(({ status }) => status)).toEqual([200, 401]);
});

test('no turn begins while auth.json cannot be replaced', async () => {
  const each = await startAccountSession({ script: () => () => [assistantMessage('done')] });
  const probe = join(each.task.folder.codexHome, '.write-probe');
  await mkdir(probe);
  await each.send('go');
  expect(await each.saw('x-optio-turn-rejected')).toMatchObject({
    reason: expect.stringContaining('cannot be replaced (EISDIR)') as string,
  });
  await credentialEvent(each, 'unwritable');
  await rm(probe, { recursive: true });
  await each.send('again');
  await each.saw('turn/completed');
});

test('tokens that end within 15 minutes are refreshed and saved before the turn', async () => {
  let good: boolean | null = null;
  let each: AccountSession | null = null;
  const started = await startAccountSession({
    login: { expiresIn: 600 },
    script: (oauth) => async (request) => {
      if (each && JSON.stringify(request.body).includes('go on'))
        good ??= oauth.isGood((await readSeed(each.store, each.lease.seedId))!.authJson!);
      return [assistantMessage('done')];
    },
  });
  each = started;
  await each.send('go on');
  await each.saw('turn/completed');
  expect(good).toBe(true);
  expect(reasons(each)).toEqual(['forced']);
  expect(await savedHash(each.task)).toBe(fingerprint(await each.onDisk()));
  await each.send('go on again');
  await until('two turns', () => started.session.thread.report().turns === 2);
  expect(reasons(each)).toEqual(['forced']);
});

test('a wrong clock or short-lived tokens do not cause a refresh before each turn', async () => {
  const each = await startAccountSession({
    login: { expiresIn: 600 },
    script: () => () => [assistantMessage('done')],
  });
  each.oauth.expiresIn = 600;
  for (const turns of [1, 2, 3]) {
    await each.send('go');
    await until(`${turns} turns`, () => each.session.thread.report().turns === turns);
  }
  expect(reasons(each)).toEqual(['forced']);
});

test('another account in auth.json is set aside and reported, and the seed is unchanged', async () => {
  const each = await startAccountSession();
  const before = await each.inSeed();
  const watch = each.watch();
  await writeFile(each.task.folder.authJson, each.oauth.login({ accountId: 'acc-2' }));
  const event = await credentialEvent(each, 'foreign');
  expect(event['message']).toContain('another account');
  expect(await each.inSeed()).toEqual(before);
  expect(await listQuarantine(each.store, each.lease.seedId)).toHaveLength(1);
  await watch.stop();
  // Codex refuses to go on with it, and spends no token for that.
  await each.send('go');
  const { params } = await each.saw('turn/completed');
  expect(params).toMatchObject({ turn: { status: 'failed' } });
  expect(await each.seedStatus()).not.toBe('dead');
  expect(each.oauth.refreshes()).toEqual([]);
  expect(await readFile(each.task.folder.authJson, 'utf8')).toContain('acc-2');
});

test('no token is refreshed before a turn once the lease has run out', async () => {
  const each = await startAccountSession({
    login: { expiresIn: 600 },
    script: () => () => [assistantMessage('done')],
  });
  each.oauth.strict = true;
  await writeDeadline(each.task.folder.root, uptimeSeconds() - 3_600, 60_000);
  await each.steal();
  const theirs = await each.inSeed();
  await each.send('go');
  await elapse(2_000);
  expect(each.oauth.refreshes()).toEqual([]);
  expect(each.oauth.isGood(theirs)).toBe(true);
});

test('a refresh looks at the lease first, as clocks of the machine may have stood still', async () => {
  const each = await startAccountSession({
    login: { expiresIn: 600 },
    script: () => () => [assistantMessage('done')],
  });
  each.oauth.strict = true;
  await each.steal();
  await each.send('go');
  const rejected = await each.saw('x-optio-turn-rejected');
  expect(rejected['reason']).toContain('Lease lost');
  expect(each.oauth.refreshes()).toEqual([]);
});
