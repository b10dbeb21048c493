import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isAlive } from '../../../src/process/process-identity.js';
import { sweep } from '../../../src/session/host/sweep-tasks.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { meanwhile, seedOf } from '../../store/support.js';
import { startAccountSession } from '../account/account-session.js';

test('the sweep cleans up a terminated task: Codex, credential, lease, then folder', async () => {
  const each = await startAccountSession();
  const { host, store, lease, task, session } = each;
  await each.rotate();
  const rotated = await each.onDisk();
  const livedAtSave: boolean[] = [];
  const watched = meanwhile(store, 1, async () => livedAtSave.push(await isAlive(session.record)));
  const ended = { ...host, store: watched, isRunning: () => Promise.resolve(false) };

  await sweep({ ...ended, isRunning: () => Promise.resolve(true) });
  expect(await isAlive(session.record)).toBe(true);
  await sweep(ended);
  expect(livedAtSave).toEqual([false]);
  expect(await each.inSeed()).toEqual(rotated);
  expect(await listQuarantine(store, lease.seedId)).toEqual([]);
  expect((await seedOf(store, lease.seedId)).lease).toBeNull();
  expect(existsSync(task.folder.root)).toBe(false);
  expect(host.tasks.find('t1')).toBeUndefined();
});
