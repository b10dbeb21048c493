import { expect, test } from 'vitest';
import { findBlob, putBlob } from '../../src/store/blobs.js';
import { insertSnapshot } from '../../src/store/snapshots.js';
import {
  cutParts,
  dropMessages,
  eventMark,
  findCheckpoint,
  forgetTaskState,
  insertPart,
  keepMessage,
  keptMessages,
  listParts,
  partsEnd,
  reserveEventIds,
} from '../../src/store/task-state.js';
import { useStore } from './support.js';

const use = useStore();
const REF = { taskId: 't', runId: 'r1', assignmentId: 's' };

const blob = () => putBlob(use.store, Buffer.from('x'), { filename: 'journal' });

async function part(firstId: number, lastId: number, ledgerFrom: number, ledgerTo: number, runId = 'r1') {
  const made = { taskId: 't', runId, firstId, lastId, ledgerFrom, ledgerTo };
  const whole = { ...made, framesBlobId: await blob(), ledgerBlobId: null };
  await insertPart(use.store, whole);
  return whole;
}

test('pieces return in order, of one run only, with the position they reach', async () => {
  const [first, second] = [await part(1, 5, 0, 100), await part(6, 9, 100, 150)];
  await part(1, 70, 0, 700, 'r2');
  expect(await listParts(use.store, 'r1')).toEqual([first, second]);
  expect(await partsEnd(use.store, 'r1')).toEqual({ lastId: 9, ledgerTo: 150 });
  expect(await partsEnd(use.store, 'none')).toEqual({ lastId: 0, ledgerTo: 0 });
});

test('pieces beyond a checkpoint are deleted with their blobs', async () => {
  const kept = await part(1, 5, 0, 100);
  const orphan = await part(6, 9, 100, 150);
  await cutParts(use.store, 'r1', { lastEventId: 5, ledgerBytes: 100 });
  expect(await listParts(use.store, 'r1')).toEqual([kept]);
  expect(await findBlob(use.store, orphan.framesBlobId)).toBeNull();
  expect(await findBlob(use.store, kept.framesBlobId)).not.toBeNull();
});

test('messages are kept once and in order until a checkpoint has them', async () => {
  for (const messageId of ['a', 'b', 'a', 'c'])
    await keepMessage(use.store, REF, { messageId, text: messageId });
  await keepMessage(use.store, { taskId: 't', runId: 'r2' }, { messageId: 'other', text: 'x' });
  const ids = async () =>
    (await keptMessages<{ messageId: string }>(use.store, 'r1')).map(({ messageId }) => messageId);
  expect(await ids()).toEqual(['a', 'b', 'c']);
  await dropMessages(use.store, 'r1', ['a']);
  await dropMessages(use.store, 'r1', []);
  expect(await ids()).toEqual(['b', 'c']);
});

test('a checkpoint is the newest snapshot of its run, whatever else has its key', async () => {
  const insert = async (details?: Record<string, unknown>) =>
    insertSnapshot(use.store, {
      key: 'k',
      blobId: await blob(),
      sessionId: 'thread',
      endState: 'running',
      ...(details && { details }),
    });
  const of = (runId: string, lastEventId: number) => ({
    checkpoint: { runId, generation: 0, lastEventId, ledgerBytes: 1, isWhole: false },
  });
  expect(await findCheckpoint(use.store, 'k', 'r1')).toBeNull();
  await insert(of('r1', 3));
  const wanted = await insert(of('r1', 7));
  await insert(of('r2', 9));
  await insert();
  const found = await findCheckpoint(use.store, 'k', 'r1');
  expect(found?.snapshot.id).toBe(wanted);
  expect(found?.checkpoint.lastEventId).toBe(7);
});

test('the state of an ended run is deleted whole, and nothing of other runs', async () => {
  const mine = await part(1, 5, 0, 100);
  const other = await part(1, 5, 0, 100, 'r2');
  await keepMessage(use.store, REF, { messageId: 'a' });
  await reserveEventIds(use.store, REF, 0, 2_000);
  await forgetTaskState(use.store, 'r1');
  expect(await eventMark(use.store, 'r1')).toBe(0);
  expect(await keptMessages(use.store, 'r1')).toEqual([]);
  expect(await listParts(use.store, 'r1')).toEqual([]);
  expect(await findBlob(use.store, mine.framesBlobId)).toBeNull();
  expect(await listParts(use.store, 'r2')).toEqual([other]);
});

test('ids are reserved upwards only, and not for a host that was replaced', async () => {
  const reserve = (generation: number, upTo: number) => reserveEventIds(use.store, REF, generation, upTo);
  expect([await reserve(0, 2_000), await reserve(0, 1_000)]).toEqual([true, true]);
  expect(await eventMark(use.store, 'r1')).toBe(2_000);
  expect(await reserve(1, 0)).toBe(true);
  expect(await reserve(0, 9_000)).toBe(false);
  expect(await eventMark(use.store, 'r1')).toBe(2_000);
  expect(await reserve(1, 3_000)).toBe(true);
  expect(await eventMark(use.store, 'r1')).toBe(3_000);
  // Two that come first at once: both count.
  const both = [5_000, 6_000].map((upTo) => reserveEventIds(use.store, { ...REF, runId: 'r2' }, 0, upTo));
  expect(await Promise.all(both)).toEqual([true, true]);
  expect(await eventMark(use.store, 'r2')).toBe(6_000);
});
