import { expect, it } from 'vitest';
import { piecesOf } from '../../src/budgets/budgets.js';
import { blobsOfTask } from '../../src/store/blobs.js';
import { dropTexts, keepText, readKeptJson, readText } from '../../src/store/kept-texts.js';
import { findRemains, removeRemains } from '../../src/store/purge-task.js';
import { useStore } from './support.js';

const use = useStore();
const REF = { taskId: 'kept-texts', runId: 'r1' };
const NAMED = { blobs: new Map(), snapshots: new Map(), keys: new Map() };

it.each([
  ['ASCII', 'x'.repeat(40_000)],
  ['CJK', '漢'.repeat(9_000)],
  ['surrogate pairs', '😀'.repeat(9_000)],
  ['control characters and quotes', '\u0001"\\\n'.repeat(3_000)],
])('a value stored in pieces is read back unchanged: %s', async (_, text) => {
  const value = [{ kind: 'message', value: { messageId: 'm', text } }];
  const pieces = piecesOf(JSON.stringify(value), 10_000);
  expect(pieces.length).toBeGreaterThan(2);
  const blobIds = await Promise.all(pieces.map((piece) => keepText(use.store, REF, piece)));
  expect(await readKeptJson(use.store, blobIds)).toEqual(value);
  expect(await readText(use.store, blobIds[1]!)).toBe(pieces[1]);
  await dropTexts(use.store, blobIds);
  await dropTexts(use.store, blobIds);
  expect(await blobsOfTask(use.store, REF.taskId)).toEqual([]);
});

it('a value with a lost piece differs from one that cannot be read now', async () => {
  const blobIds = [await keepText(use.store, REF, '["a",'), await keepText(use.store, REF, '"b"]')];
  await dropTexts(use.store, blobIds.slice(1));
  expect(await readKeptJson(use.store, blobIds)).toBeNull();
  await dropTexts(use.store, blobIds);
});

it('a purge of a task removes its kept values', async () => {
  const id = await keepText(use.store, REF, '"left"');
  const remains = await findRemains(use.store, REF.taskId, NAMED);
  expect(remains.blobs.map((blob) => blob.id)).toEqual([id]);
  await removeRemains(use.store, remains);
  expect(await blobsOfTask(use.store, REF.taskId)).toEqual([]);
});
