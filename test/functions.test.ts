import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../src/dev/package-root.js';
import { functionsIn, type SourceFunction } from './support/source-functions.js';

/** What is longer is several things; what shares more is a thing with fields, and so a class. */
const MAX_LINES = 80;
const MAX_SHARED = 5;

let functions: (SourceFunction & { path: string })[];
beforeAll(async () => {
  const root = join(packageRoot, 'src');
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const all = names.sort().map(async (path) => {
    const found = functionsIn(path, await readFile(join(root, path), 'utf8'));
    return found.map((each) => ({ ...each, path }));
  });
  functions = (await Promise.all(all)).flat();
});

const named = ({ path, name }: { path: string; name: string }) => `${path}: ${name}`;

describe('functions', () => {
  it(`have at most ${MAX_LINES} lines and share ${MAX_SHARED} changing names with those inside`, () => {
    const large = functions.filter(({ lines, shared }) => lines > MAX_LINES || shared.length > MAX_SHARED);
    expect(large.map(named)).toEqual([]);
  });
});

describe('this test', () => {
  const inside = `
    export function open(limit: number) {
      let count = 0;
      let free = limit;
      const fixed = 1;
      const take = () => {
        let count = 2;
        return count + free + fixed;
      };
      return { take, give: () => ({ free }), count, of: (each: { count: number }) => each.count };
    }`;

  it('counts lines and shared names, but no properties and no shadowed names', () => {
    const [open] = functionsIn('a.ts', inside);
    expect(open).toEqual({ name: 'open', lines: 10, shared: ['free'] });
  });

  it('sees methods, constructors and functions in functions', () => {
    const text = 'class A { constructor() {} get a() { return () => 1; } }';
    expect(functionsIn('a.ts', text).map(({ name }) => name)).toEqual(['constructor', 'a', 'a function']);
  });
});
