import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../src/dev/package-root.js';
import { parseTaskInput } from '../src/input/parse-task-input.js';

const read = (path: string) => readFile(join(packageRoot, path), 'utf8');

test('every TypeScript program in the documents is compiled', async () => {
  const folder = join(packageRoot, 'test/examples');
  const compiled = await Promise.all(
    (await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')),
  );
  const documents = [
    'README.md',
    ...(await readdir(join(packageRoot, 'docs'))).map((name) => `docs/${name}`),
  ];
  let programs = 0;
  for (const document of documents)
    for (const [, program = ''] of (await read(document)).matchAll(
      /^```(?:ts|typescript)\n([\s\S]*?)^```$/gm,
    )) {
      programs++;
      expect(
        compiled.some((text) => text.endsWith(program)),
        `${document}: ${program}`,
      ).toBe(true);
    }
  expect(programs).toBe(compiled.length);
});

/** Rows of `docs/listener.md` that name a test: `` `file.test.ts` “its title” ``, more than one with `;` between. */
const NAMED = /`([\w.-]+\.test\.ts)` “([^”]+)”/g;

test('every test that the listener’s table names exists', async () => {
  const named = [...(await read('docs/listener.md')).matchAll(NAMED)];
  expect(named.length).toBeGreaterThan(30);
  const missing: string[] = [];
  for (const [, file = '', title = ''] of named) {
    const source = await read(`test/listener/${file}`).catch(() => '');
    if (!source.includes(`'${title}'`)) missing.push(`${file}: ${title}`);
  }
  expect(missing).toEqual([]);
});

test('every row of the listener’s table names a test', async () => {
  const [, table = ''] = (await read('docs/listener.md')).split('## Status codes\n');
  const rows = table.split('\n').filter((line) => /^\| .*\b[2-5]\d\d\b/.test(line));
  expect(rows.length).toBeGreaterThan(30);
  expect(rows.filter((row) => !/`[\w.-]+\.test\.ts` “/.test(row))).toEqual([]);
});

/** The same in `docs/account.md`, with the folder. */
const NAMED_BELOW_TEST = /`((?:[\w-]+\/)+[\w.-]+\.test\.ts)` “([^”]+)”/g;

test.each([
  ['Ways to lose an account', 20],
  ['Ways to stop a worker', 15],
  ['Out of quota', 6],
])('every row of the account’s table “%s” names a test that exists', async (heading, least) => {
  const [, table = ''] = (await read('docs/account.md')).split(`## ${heading}\n`);
  const rows = table
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => /^\| (?!Way |Limit |-)/.test(line));
  expect(rows.length).toBeGreaterThan(least);
  const missing: string[] = [];
  for (const row of rows) {
    const named = [...row.matchAll(NAMED_BELOW_TEST)];
    if (named.length === 0) missing.push(row);
    for (const [, file = '', title = ''] of named) {
      const source = await read(`test/${file}`).catch(() => '');
      if (!source.includes(`'${title}'`)) missing.push(`${file}: ${title}`);
    }
  }
  expect(missing).toEqual([]);
});

test('every row of the invariants names a test that exists', async () => {
  const rows = (await read('docs/invariants.md'))
    .split('\n')
    .filter((line) => /^\| (?!What holds|-)/.test(line));
  expect(rows.length).toBeGreaterThan(25);
  const missing: string[] = [];
  for (const row of rows) {
    const [, file = '', title = ''] = /`((?:[\w-]+\/)+[\w.-]+\.test\.ts)` “([^”]+)”/.exec(row) ?? [];
    const source = file && (await read(`test/${file}`).catch(() => ''));
    if (!source.includes(`'${title}'`)) missing.push(row);
  }
  expect(missing).toEqual([]);
});

test('every row on what a restore refuses names a test that exists', async () => {
  const [, table = ''] = (await read('docs/snapshots.md')).split('## What a restore refuses\n');
  const rows = table.split('\n').filter((line) => /^\| (?!An archive|-)/.test(line));
  expect(rows.length).toBeGreaterThan(12);
  const missing: string[] = [];
  for (const row of rows) {
    const [, file = '', title = ''] = /`([\w.-]+\.test\.ts)` “([^”]+)”/.exec(row) ?? [];
    const rooms = ['snapshots/', 'session/task/', 'session/'];
    const sources = rooms.map((room) => read(`test/${room}${file}`).catch(() => ''));
    const source = (await Promise.all(sources)).join('');
    if (title === '' || !source.includes(`'${title}'`)) missing.push(row);
  }
  expect(missing).toEqual([]);
});

test('the page for users of the Python package has a valid input and names every hook', async () => {
  const page = await read('docs/from-optio-codex.md');
  const [, json = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
  expect(parseTaskInput(JSON.parse(json), 't1')).toMatchObject({ mode: 'conversation', hostProtocol: true });
  const hooks = await read('docs/hooks.md');
  const names = [...hooks.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name = '']) => name);
  expect(names.filter((name) => /^[a-z]/.test(name))).toHaveLength(9);
  expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

test('every row of the table of Temporal’s features names a test that exists', async () => {
  const rows = (await read('docs/temporal.md')).split('\n').filter((line) => /^\| (?!Feature|-)/.test(line));
  expect(rows.length).toBeGreaterThan(15);
  const missing: string[] = [];
  for (const row of rows) {
    const [, file = '', title = ''] = /`([\w/-]+(?:\.long)?\.test\.ts)` “([^”]+)”/.exec(row) ?? [];
    const source = file && (await read(`test/${file}`).catch(() => ''));
    if (file === '' || !source.includes(`'${title}'`)) missing.push(`${file}: ${title}`);
  }
  expect(missing).toEqual([]);
});
