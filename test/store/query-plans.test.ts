import { describe, expect, test } from 'vitest';
import { collectionNameOf, ensureIndexes, INDEXES } from '../../src/store/indexes.js';
import { PLANS } from './query-plans.js';
import { isServed, shapesOf } from './query-shapes.js';
import { useStore } from './support.js';

const use = useStore();
const WITHOUT_INDEX = /^(?:few$|all: )/;

const collectionIn = (text: string) => text.slice(0, text.indexOf(': '));
const indexesOf = (collection: string) => INDEXES.filter(({ of }) => of === collection);

describe('the table of questions', () => {
  test.each(Object.entries(PLANS).filter(([, plan]) => !WITHOUT_INDEX.test(plan)))(
    '%s uses the index %s',
    (text, plan) => {
      const names = plan.split(', ');
      for (const name of names) {
        const index = indexesOf(collectionIn(text)).find((each) => each.name === name);
        expect(index, name).toBeDefined();
        expect(isServed(text, index!), `${name} begins with nothing that is asked`).toBe(true);
      }
    },
  );

  test('has a query for every index', () => {
    const used = new Set(
      Object.entries(PLANS).flatMap(([text, plan]) =>
        plan.split(', ').map((name) => `${collectionIn(text)} ${name}`),
      ),
    );
    const unused = INDEXES.map(({ of, name }) => `${of} ${name}`).filter((each) => !used.has(each));
    expect(unused).toEqual([]);
  });
});

test('all indexes are created, and a second creation changes nothing', async () => {
  await ensureIndexes(use.store);
  await ensureIndexes(use.store);
  for (const { of, name, key } of INDEXES) {
    const found = await use.store.db.collection(collectionNameOf(use.store, of)).indexes();
    expect(found).toContainEqual(expect.objectContaining({ name, key }));
  }
});

test('a query is identified by its paths, operators and order, not by its values', () => {
  const command = {
    find: 'test1_codex_seeds',
    filter: { b: { $not: { $gt: 1 } }, a: new Date(), $or: [{ c: 1 }, { d: { $in: [2] } }] },
    sort: { e: 1 },
  };
  expect(shapesOf({ commandName: 'find', command }).map(({ text }) => text)).toEqual([
    'codex_seeds: (c or d $in), a, b $not $gt by e',
  ]);
});
