import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readDeadline, uptimeSeconds, writeDeadline } from '../../../src/process/deadline.js';
import { isAlive } from '../../../src/process/process-identity.js';
import { adoptTasks } from '../../../src/session/host/adopt-tasks.js';
import { parkTask, unparkTask } from '../../../src/session/task/park-task.js';
import { readTaskManifest } from '../../../src/task-folder/task-manifest.js';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { releaseLease, type Lease } from '../../../src/store/leases.js';
import { saveCredential } from '../../../src/session/account/save-credential.js';
import { launchSession } from '../../../src/session/connect/launch-session.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { insertSeed, readSeed } from '../../../src/store/seeds.js';
import { accountHost, POOL, startAccountSession } from '../account/account-session.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const UNTIL = '2030-01-01T00:00:00.000Z';

test('a parked task has neither Codex nor credential and resumes only with a lease', async () => {
  const each = await startAccountSession();
  const { host, store, lease, task, session } = each;
  const { folder } = task;
  await each.rotate();
  const rotated = await each.onDisk();
  await parkTask(host, { ref: REF, lease, turnId: 'turn', until: UNTIL });
  expect(await isAlive(session.record)).toBe(false);
  expect(existsSync(folder.authJson)).toBe(false);
  expect(await each.inSeed()).toEqual(rotated);
  expect(await readTaskManifest(folder.taskJson)).toMatchObject({ parked: true, lease: null });

  // The next worker, while the seed is another's.
  const other = await each.steal();
  const next = await accountHost(host.config.dataDir, store, each.oauth, 60_000);
  await adoptTasks(next);
  expect(next.tasks.find('t1')).toMatchObject({ kind: 'prepared', parked: true });
  expect(existsSync(folder.processJson)).toBe(false);
  await expect(unparkTask(next, { ref: REF, lease })).rejects.toMatchObject({ code: 'LeaseRefused' });
  expect(next.tasks.find('t1')).toMatchObject({ parked: true });
  expect(existsSync(folder.authJson)).toBe(false);

  await releaseLease(store, other);
  const again = await acquireSeed(store, { seedId: lease.seedId }, 't1/r1', 60_000);
  const { lease: held } = again as { lease: Lease };
  await writeDeadline(folder.root, uptimeSeconds() - 60, 60_000);
  await unparkTask(next, { ref: REF, lease: held });
  expect(await each.onDisk()).toEqual(rotated);
  // Until its watch renews, the guard leaves the codex that is launched now alone.
  expect(await readDeadline(folder.root)).toBeGreaterThan(uptimeSeconds());
  const taken = next.tasks.find('t1');
  expect(taken).toMatchObject({ kind: 'prepared', prepared: { lease: held } });
  expect(taken).not.toHaveProperty('parked');
  if (taken?.kind !== 'prepared') return;
  await taken.prepared.journal.close(0);
  await taken.prepared.ledger.close();
});

test('a task that resumes with another account saves refreshes in that seed', async () => {
  const each = await startAccountSession();
  const { host, store, lease, oauth } = each;
  await parkTask(host, { ref: REF, lease, turnId: 'turn', until: UNTIL });
  await releaseLease(store, lease);
  const seedId = await insertSeed(store, { authJson: oauth.login({ accountId: 'acc-2' }), pool: POOL });
  const acquired = await acquireSeed(store, { seedId }, 't1/r1', 60_000);
  const { lease: other } = acquired as { lease: Lease };
  await unparkTask(host, { ref: REF, lease: other });
  const ready = host.tasks.find('t1');
  if (ready?.kind !== 'prepared') throw new Error('not prepared');
  const { prepared, stopping } = ready;
  const session = await launchSession(host, prepared, stopping.signal);
  host.tasks.set({ kind: 'live', ref: REF, stopping, prepared, session, mounted: true });
  await each.rotate();
  await saveCredential(host, prepared, other);
  expect(await listQuarantine(store, seedId)).toEqual([]);
  expect(oauth.isGood((await readSeed(store, seedId))!.authJson!)).toBe(true);
});
