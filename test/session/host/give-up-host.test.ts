import { expect, test } from 'vitest';
import { giveUpHost } from '../../../src/session/host/give-up-host.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { seedOf } from '../../store/support.js';
import { startHeldTurn } from '../held-turn.js';

test('a host that another worker took over stops Codex, saves and renews nothing', async () => {
  const each = await startHeldTurn();
  await each.rotate();
  const { lease } = await seedOf(each.store, each.lease.seedId);
  const refreshes = each.oauth.refreshes().length;
  await giveUpHost(each.host);
  expect(await each.lives()).toBe(false);
  expect(await each.isSaved()).toBe(true);
  expect(each.oauth.refreshes()).toHaveLength(refreshes);
  // What goes on with the task is the other worker's, and so is the lease.
  const notes = (await each.written()).filter(({ t }) => t === 'suspended' || t === 'stopped');
  expect(notes).toEqual([]);
  expect((await seedOf(each.store, each.lease.seedId)).lease).toEqual(lease);
  expect(each.host.tasks.isDraining).toBe(true);
});

test('a host that was taken over quarantines its refresh when it lost the seed', async () => {
  const each = await startHeldTurn();
  await each.rotate();
  await each.steal();
  const before = await each.inSeed();
  await giveUpHost(each.host);
  expect(await each.lives()).toBe(false);
  expect(await each.inSeed()).toEqual(before);
  expect(await listQuarantine(each.store, each.lease.seedId)).toHaveLength(1);
});
