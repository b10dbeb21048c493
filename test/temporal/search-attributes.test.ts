import { expect, it } from 'vitest';
import type { TemporalLink } from '../../src/client/connect-temporal.js';
import { SEARCH_ATTRIBUTES, searchAttributesKnown } from '../../src/temporal/search-attributes.js';

/** A namespace with these attributes. */
function linkTo(names: readonly string[] | Error) {
  let asked = 0;
  const listSearchAttributes = async () => {
    asked++;
    if (names instanceof Error) throw names;
    return { customAttributes: Object.fromEntries(names.map((name) => [name, 2])) };
  };
  const connection = {
    withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
    operatorService: { listSearchAttributes },
  };
  const link = { connection, namespace: 'n' } as unknown as TemporalLink;
  return { link, asked: () => asked };
}

it('uses each search attribute that exists, and names missing ones once', async () => {
  const told: string[][] = [];
  const { link, asked } = linkTo(['CodexState', 'CodexHost', 'Another']);
  const known = searchAttributesKnown(link, (missing) => void told.push(missing));
  expect(await Promise.all([known(), known(), known()])).toEqual(
    Array.from({ length: 3 }, () => ['CodexState', 'CodexHost']),
  );
  expect(told).toEqual([['CodexModel', 'CodexSeed', 'CodexQuarantine']]);
  expect(asked()).toBe(1);
});

it('names none when all exist, and uses none when the server does not tell', async () => {
  const told: string[][] = [];
  const tell = (missing: string[]) => void told.push(missing);
  expect(await searchAttributesKnown(linkTo(SEARCH_ATTRIBUTES).link, tell)()).toEqual([...SEARCH_ATTRIBUTES]);
  expect(await searchAttributesKnown(linkTo(new Error('no permission')).link, tell)()).toEqual([]);
  expect(told).toEqual([]);
});
