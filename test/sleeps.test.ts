import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { packageRoot } from '../src/dev/package-root.js';

const TESTS = join(packageRoot, 'test');
/** What keeps time for the others, and chaos, which lets it pass at random. */
const KEEPERS = /^(support|chaos)\//;

/** The lines on which the text names Node's timers; what stands in a string is a program of its own. */
function timersIn(path: string, text: string): number[] {
  if (!text.includes('setTimeout')) return [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  const lines: number[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && node.text === 'setTimeout')
      lines.push(source.getLineAndCharacterOfPosition(node.getStart()).line + 1);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return lines;
}

it('no test sleeps to wait: it uses `until`, or `elapse` for time that passes', async () => {
  const names = (await readdir(TESTS, { recursive: true })).filter((name) => name.endsWith('.ts'));
  expect(names.length).toBeGreaterThan(200);
  const found = await Promise.all(
    names
      .filter((name) => !KEEPERS.test(name))
      .map(async (name) =>
        timersIn(name, await readFile(join(TESTS, name), 'utf8')).map((line) => `test/${name}:${line}`),
      ),
  );
  expect(found.flat()).toEqual([]);
});

it('the check sees a timer under another name, but none in programs of tests', () => {
  expect(
    timersIn('a.ts', `import { setTimeout as nap } from 'node:timers/promises';\nawait nap(5);`),
  ).toEqual([1]);
  expect(timersIn('a.ts', `const program = 'setTimeout(() => {}, 5)';`)).toEqual([]);
});
