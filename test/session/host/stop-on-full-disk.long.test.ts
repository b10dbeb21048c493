import { expect, test } from 'vitest';
import { detachSessions } from '../../../src/session/host/detach-sessions.js';
import { endForGood } from '../../../src/session/task/end-task.js';
import { saveAssignment } from '../../../src/session/host/evict-tasks.js';
import { parkTask } from '../../../src/session/task/park-task.js';
import type { Ledger, LedgerRecord } from '../../../src/task-folder/ledger.js';
import { stopSessions } from '../../../src/session/host/stop-sessions.js';
import { startHeldTurn, type HeldTurn } from '../held-turn.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const full = () =>
  Promise.reject(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }));
const silent = () => new Promise<never>(() => undefined);

/** What the disk does with each note of the task, until it is given back. */
function breakDisk({ host }: HeldTurn, does: () => Promise<never>): () => void {
  const task = host.tasks.find('t1');
  if (task?.kind !== 'live') throw new Error(`task is ${task?.kind}`);
  const ledger = task.prepared.ledger as { -readonly [Key in keyof Ledger]: Ledger[Key] };
  const { write, sync } = ledger;
  Object.assign(ledger, { write: does, sync: does });
  return () => Object.assign(ledger, { write, sync });
}

const park = ({ host, lease, turnId }: HeldTurn) =>
  parkTask(host, { ref: REF, lease, turnId, until: '2030-01-01T00:00:00.000Z' });
const suspended = (records: LedgerRecord[]) => records.filter(({ t }) => t === 'suspended');

const WAYS = {
  'the worker stops': ({ host }: HeldTurn) => stopSessions(host),
  'the task ends': ({ host }: HeldTurn) => endForGood(host, REF),
  'the host lets the task go': ({ host }: HeldTurn) => saveAssignment(host, REF),
  'the task is parked': park,
};
const DISKS = { 'is full': full, 'does not answer': silent };

test.each(Object.keys(WAYS).flatMap((way) => Object.keys(DISKS).map((disk) => [way, disk] as const)))(
  'Codex stops when %s on a disk that %s',
  async (way, disk) => {
    const each = await startHeldTurn();
    const mend = breakDisk(each, DISKS[disk as keyof typeof DISKS]);
    // What cannot be noted may fail the step; it is not waited for on a disk that does not answer.
    const done = WAYS[way as keyof typeof WAYS](each).catch(() => undefined);
    await expect.poll(() => each.lives(), { timeout: 30_000 }).toBe(false);
    mend();
    if (disk === 'is full') await done;
  },
);

test('a record that a full disk refused is written once the stop has made room', async () => {
  const each = await startHeldTurn();
  const mend = breakDisk(each, full);
  await expect(park(each)).rejects.toThrow('ENOSPC');
  expect(await each.lives()).toBe(false);
  expect(suspended(await each.written())).toEqual([]);
  mend();
  await park(each);
  await park(each);
  expect(suspended(await each.written())).toEqual([{ t: 'suspended', turnId: each.turnId }]);
});

test('a worker that detaches saves the credential and extends the lease on a full disk', async () => {
  const each = await startHeldTurn();
  await each.rotate();
  const mend = breakDisk(each, full);
  await detachSessions(each.host);
  mend();
  expect(await each.lives()).toBe(true);
  expect(await each.isSaved()).toBe(true);
  expect(await each.leftMs()).toBeGreaterThan(300_000);
});
