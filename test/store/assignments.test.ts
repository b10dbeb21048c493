import { expect, test } from 'vitest';
import { beginStay, endStay, findStay, staysOn, type Stay } from '../../src/store/assignments.js';
import { range } from '../support/range.js';
import { useStore } from './support.js';

const use = useStore();
const stay = (stayId: string, more: Partial<Stay> = {}): Stay => ({
  taskId: 't/1',
  runId: 'r',
  stayId,
  hostId: 'h1',
  ordinal: 0,
  ...more,
});

test('of many stays of one task that begin at once one does, and all hear of that one', async () => {
  const begun = await Promise.all(
    range(0, 20).map((i) => beginStay(use.store, stay(`s${i}`, { hostId: `h${i % 2}`, runId: `r${i % 3}` }))),
  );
  expect(new Set(begun.map(({ stayId }) => stayId)).size).toBe(1);
  expect(await findStay(use.store, 't/1')).toEqual(begun[0]);
});

test('a stay begins again where it is, and not on another host', async () => {
  const first = await beginStay(use.store, stay('s', { ordinal: 2 }));
  expect(await beginStay(use.store, stay('s', { ordinal: 2 }))).toEqual(first);
  expect(await beginStay(use.store, stay('s', { hostId: 'h2' }))).toEqual(first);
});

test('the next stay begins once the one before has ended on its own host', async () => {
  await beginStay(use.store, stay('s1'));
  for (const [ended, host] of [
    [stay('s2'), 'h1'],
    [stay('s1'), 'h2'],
    [stay('s1', { taskId: 'another' }), 'h1'],
  ] as const) {
    await endStay(use.store, ended, host);
    expect(await beginStay(use.store, stay('s2'))).toMatchObject({ stayId: 's1' });
  }
  await endStay(use.store, stay('s1'), 'h1');
  await endStay(use.store, stay('s1'), 'h1');
  expect(await findStay(use.store, 't/1')).toBeNull();
  expect(await beginStay(use.store, stay('s2'))).toMatchObject({ stayId: 's2' });
});

test('the stays of a host are its own', async () => {
  const mine = await beginStay(use.store, stay('s1'));
  await beginStay(use.store, stay('s2', { taskId: 'other', hostId: 'h2' }));
  expect(await staysOn(use.store, 'h1')).toEqual([mine]);
  expect(await staysOn(use.store, 'h3')).toEqual([]);
});
