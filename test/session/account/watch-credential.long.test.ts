import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { guardTasks } from '../../../src/guard/guard-tasks.js';
import { uptimeSeconds, writeDeadline } from '../../../src/process/deadline.js';
import { isAlive } from '../../../src/process/process-identity.js';
import { adoptTasks } from '../../../src/session/host/adopt-tasks.js';
import { closeTask, endSession } from '../../../src/session/task/end-task.js';
import { prepareTask } from '../../../src/session/task/prepare-task.js';
import { readProcessRecord } from '../../../src/task-folder/process-record.js';
import { reapTask } from '../../../src/session/task/reap-task.js';
import { holdTaskSeed } from '../../../src/session/account/hold-seed.js';
import { saveCredential } from '../../../src/session/account/save-credential.js';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { fingerprint } from '../../../src/store/seed-archive.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { elapse } from '../../support/elapse.js';
import { startMongoProxy, type MongoProxy } from '../../support/mongo-proxy.js';
import { meanwhile, seedOf } from '../../store/support.js';
import { until } from '../../support/until.js';
import { accountHost, savedHash, startAccountSession, type AccountSession } from './account-session.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const NEVER = new AbortController().signal;
/** Short enough for a test, long enough for a busy machine. */
const TTL_MS = 10_000;

const isSaved = async (each: AccountSession) => (await each.inSeed()).equals(await each.onDisk());

/** A session whose host reaches the database through a way that the test can cut. */
async function behindProxy(leaseTtlMs: number): Promise<{ each: AccountSession; proxy: MongoProxy }> {
  let proxy!: MongoProxy;
  const mongoUri = async (uri: string) => (proxy = await startMongoProxy(uri)).uri;
  const each = await startAccountSession({ leaseTtlMs, mongoUri });
  return { each, proxy };
}

test('each rotation reaches the seed, and process.json names the saved one', async () => {
  const each = await startAccountSession();
  each.watch();
  for (let n = 1; n <= 3; n++) {
    await each.rotate();
    await until('a saved rotation', () => isSaved(each), 2_000);
    expect(each.oauth.isGood(await each.inSeed())).toBe(true);
    await until(
      'a noted rotation',
      async () => (await savedHash(each.task)) === fingerprint(await each.onDisk()),
    );
    expect(each.host.accounts.saved).toBe(n);
  }
});

test('concurrent saves of one task run in order, and the newest file wins', async () => {
  const each = await startAccountSession();
  const [older, newer] = [each.oauth.login(), each.oauth.login()];
  const { authJson } = each.task.folder;
  const replace = async (bytes: Buffer) => {
    await writeFile(`${authJson}.next`, bytes);
    await rename(`${authJson}.next`, authJson);
  };
  await replace(older);
  // By its first word to the database the first has read the file; the second must not have.
  const slow = { ...each.host, store: meanwhile(each.host.store, 1, () => replace(newer)) };
  const saves = [slow, each.host].map((host) => saveCredential(host, each.task, each.lease));
  expect((await Promise.all(saves)).map(({ kind }) => kind)).toEqual(['saved', 'saved']);
  expect(await each.inSeed()).toEqual(newer);
  expect(await listQuarantine(each.store, each.lease.seedId)).toEqual([]);
  expect(await savedHash(each.task)).toBe(fingerprint(newer));
});

test('a lease lost to another holder ends with LeaseLost and quarantines a rotation', async () => {
  const each = await startAccountSession({ leaseTtlMs: TTL_MS });
  const theirs = await each.steal();
  const watch = each.watch();
  expect(await watch.ended).toMatchObject({ code: 'LeaseLost' });
  await each.rotate();
  expect(await saveCredential(each.host, each.task, each.lease)).toMatchObject({ kind: 'quarantined' });
  expect(await listQuarantine(each.store, each.lease.seedId)).toMatchObject([
    { holder: each.lease.holder, leaseEpoch: theirs.leaseEpoch - 1 },
  ]);
});

test.each(['cut', 'freeze'] as const)(
  'an outage of the database (%s) shorter than the lease only delays a save',
  async (how) => {
    const { each, proxy } = await behindProxy(40_000);
    const watch = each.watch();
    await until('a renewal', async () => (await readProcessRecord(each.task.folder)) !== null);
    proxy[how]();
    await each.rotate();
    await elapse(1_500);
    expect(await isSaved(each)).toBe(false);
    proxy.mend();
    await until('a saved rotation', () => isSaved(each), 25_000);
    expect(await Promise.race([watch.ended, elapse(100).then(() => 'goes on')])).toBe('goes on');
  },
  60_000,
);

test.each(['cut', 'freeze'] as const)(
  'an outage of the database (%s) longer than the lease stops Codex before its end',
  async (how) => {
    const { each, proxy } = await behindProxy(TTL_MS);
    const watch = each.watch();
    const began = performance.now();
    await elapse(100);
    proxy[how]();
    await until('the end of codex', async () => !(await isAlive(each.session.record)), TTL_MS);
    expect(performance.now() - began).toBeLessThan(TTL_MS);
    await elapse(TTL_MS * 1.2 - (performance.now() - began));
    proxy.mend();
    // Without a codex the account is as it was: what it refreshed is saved, and the seed can be taken again.
    await each.host.tasks.inTurn('t1', () => holdTaskSeed(each.host, each.task, each.task.lease!, NEVER));
    expect(each.task.lease).toMatchObject({ leaseEpoch: 2 });
    expect(await Promise.race([watch.ended, elapse(1_000).then(() => 'goes on')])).toBe('goes on');
  },
  60_000,
);

test('a worker frozen for longer than its lease looks it up before it gives up', async () => {
  const each = await startAccountSession({ leaseTtlMs: TTL_MS });
  const watch = each.watch();
  await elapse(500);
  // Nothing of this process runs meanwhile, as after a SIGSTOP.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TTL_MS * 1.35);
  await until('the end of codex', async () => !(await isAlive(each.session.record)));
  await holdTaskSeed(each.host, each.task, each.task.lease!, NEVER);
  expect(await Promise.race([watch.ended, elapse(1_000).then(() => 'goes on')])).toBe('goes on');
  expect((await seedOf(each.store, each.lease.seedId)).leaseEpoch).toBe(2);
});

test('a lease that ran out is not taken from its next holder', async () => {
  const each = await startAccountSession({ leaseTtlMs: TTL_MS });
  await each.rotate();
  await each.steal();
  await writeDeadline(each.task.folder.root, uptimeSeconds() - 60, 60_000);
  const held = holdTaskSeed(each.host, each.task, each.task.lease!, NEVER);
  await expect(held).rejects.toMatchObject({ code: 'LeaseLost' });
  expect(await listQuarantine(each.store, each.lease.seedId)).toHaveLength(1);
});

test('a guard stops the Codex of a dead worker at its deadline, and its refresh is saved', async () => {
  const each = await startAccountSession();
  await each.rotate();
  // The worker is dead: nobody watches, nobody renews.
  const { folder } = each.task;
  await writeDeadline(folder.root, uptimeSeconds() - 60, 60_000);
  await guardTasks(each.host.config.dataDir, AbortSignal.abort());
  expect(await isAlive(each.session.record)).toBe(false);
  expect(await isSaved(each)).toBe(false);
  const rotated = await each.onDisk();
  const next = await accountHost(each.host.config.dataDir, each.store, each.oauth, 60_000);
  await reapTask(next, folder, {
    closingReport: null,
    keepWork: () => Promise.resolve(),
  });
  expect(await each.inSeed()).toEqual(rotated);
  expect(each.oauth.isGood(await each.inSeed())).toBe(true);
  expect(await acquireSeed(each.store, { seedId: each.lease.seedId }, 'next/r', 1_000)).toMatchObject({
    kind: 'leased',
  });
});

test('a restart that finds the seed leased to another quarantines the refreshed credential', async () => {
  const each = await startAccountSession();
  await each.rotate();
  process.kill(each.session.record.pid, 'SIGKILL');
  await until('a dead codex', async () => !(await isAlive(each.session.record)));
  await each.steal();
  const next = await accountHost(each.host.config.dataDir, each.store, each.oauth, 60_000);
  await adoptTasks(next);
  const [record] = await listQuarantine(each.store, each.lease.seedId);
  expect(record).toMatchObject({ holder: each.lease.holder });
  expect(next.accounts.quarantined).toBe(1);
  expect(() => next.tasks.live(REF)).toThrow(`in quarantine as ${record!.quarantineId}`);
  await expect(readFile(each.task.folder.authJson)).rejects.toThrow('ENOENT');
});

test('a folder is removed only after its auth.json is in the database', async () => {
  const each = await startAccountSession();
  await endSession(each.host, REF);
  // Codex wrote it last, and the task's last save failed.
  const first = each.oauth.login();
  await writeFile(each.task.folder.authJson, first);
  await closeTask(each.host, { ref: REF, reason: 'completed', outcome: 'completed', keepWork: false });
  expect(await each.inSeed()).toEqual(first);
  await expect(readFile(each.task.folder.authJson)).rejects.toThrow('ENOENT');

  // A worker that died, and whose leftovers could not be put back, has left this.
  const second = each.oauth.login();
  const { taskJson, codexHome, authJson } = each.task.folder;
  await mkdir(codexHome, { recursive: true });
  await writeFile(taskJson, JSON.stringify({ ref: REF, lease: each.lease }));
  await writeFile(authJson, second);
  const ref = { taskId: 't1', runId: 'r2', assignmentId: 's' };
  each.host.tasks.claim(ref);
  const spec = parseTaskInput({ credential: { none: true } }, 't1');
  const prepared = await prepareTask(each.host, { ref, spec, lease: null });
  onTestFinished(async () => {
    await prepared.journal.close(0);
    await prepared.ledger.close();
  });
  expect(await each.inSeed()).toEqual(second);
  await expect(readFile(authJson)).rejects.toThrow('ENOENT');
});
