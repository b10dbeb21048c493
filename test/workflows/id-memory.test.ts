import { expect, it } from 'vitest';
import { openIdMemory } from '../../src/workflows/id-memory.js';

const encoded = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const BOUNDS = { count: 100, bytes: 2_000 };

it('remembers the newest ids and forgets the oldest', () => {
  const ids: string[] = [];
  const memory = openIdMemory(BOUNDS, ids);
  for (let i = 0; i < 150; i++) expect(memory.add(`id-${i}`)).toBe(true);
  expect(memory.add('id-149')).toBe(false);
  expect([memory.has('id-49'), memory.has('id-50')]).toEqual([false, true]);
  expect([ids.length, ids[0], ids.at(-1)]).toEqual([100, 'id-50', 'id-149']);
});

it.each([
  ['long', (i: number) => `${'x'.repeat(250)}${i}`],
  ['of three bytes a character', (i: number) => `${'漢'.repeat(250)}${i}`],
  ['of control characters', (i: number) => `${'\u0001'.repeat(250)}${i}`],
  ['as long as fits whole', (i: number) => `${'x'.repeat(60)}${i}`],
])('keeps ids that are %s within the byte limit and tells each from the others', (_, idOf) => {
  const ids: string[] = [];
  const memory = openIdMemory(BOUNDS, ids);
  for (let i = 0; i < 1_000; i++) expect(memory.add(idOf(i))).toBe(true);
  expect(encoded(ids)).toBeLessThanOrEqual(BOUNDS.bytes + 2);
  expect(memory.has(idOf(999))).toBe(true);
  expect(memory.has(idOf(1_000))).toBe(false);
  const next = openIdMemory(BOUNDS, [...ids]);
  expect([next.add(idOf(999)), next.add(idOf(980)), next.add(idOf(1_000))]).toEqual([false, false, true]);
});
