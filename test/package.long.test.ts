import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../src/dev/package-root.js';

/** Paths of the files that `npm pack` takes. */
let packed = new Set<string>();

beforeAll(async () => {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const { stdout } = await promisify(execFile)('npm', args, { cwd: packageRoot, maxBuffer: 1 << 24 });
  const [{ files } = { files: [] }] = JSON.parse(stdout) as { files: { path: string }[] }[];
  packed = new Set(files.map(({ path }) => path));
  expect(packed.size).toBeGreaterThan(500);
});

const read = (path: string) => readFile(join(packageRoot, path), 'utf8');

test('a link of a packed document leads to a packed file', async () => {
  const missing: string[] = [];
  let links = 0;
  for (const path of [...packed].filter((name) => name.endsWith('.md')))
    for (const [, target = ''] of (await read(path)).matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)/g)) {
      links++;
      if (!packed.has(posix.join(posix.dirname(path), target))) missing.push(`${path}: ${target}`);
    }
  expect(links).toBeGreaterThan(20);
  expect(missing).toEqual([]);
});

test('a packed source map comes with its sources', async () => {
  const missing: string[] = [];
  for (const path of [...packed].filter((name) => name.endsWith('.js.map'))) {
    const { sources } = JSON.parse(await read(path)) as { sources: string[] };
    for (const source of sources) {
      const resolved = posix.join(posix.dirname(path), source);
      if (!packed.has(resolved)) missing.push(resolved);
    }
  }
  expect(missing).toEqual([]);
});

test('the package holds no file but its own', () => {
  const rooms = new Set([...packed].map((path) => (path.includes('/') ? `${path.split('/')[0]}/` : path)));
  expect([...rooms].sort()).toEqual(
    ['ARCHITECTURE.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'package.json']
      .concat(['dev/', 'docs/', 'lib/', 'src/'])
      .sort(),
  );
});

test('the package holds every file that an entry names', async () => {
  const { exports } = JSON.parse(await read('package.json')) as { exports: Record<string, unknown> };
  const targets = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry as object).map(String),
  );
  expect(targets.length).toBeGreaterThan(5);
  expect(targets.filter((target) => !packed.has(posix.normalize(target)))).toEqual([]);
});
