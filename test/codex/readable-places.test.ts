import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { beforeEach, describe, expect, test } from 'vitest';
import { renderConfig } from '../../src/codex/config-toml.js';
import { placesBeside } from '../../src/codex/readable-places.js';
import { testFolder } from '../support/folders.js';

let home: string;
let data: string;
beforeEach(async () => {
  home = await testFolder();
  data = join(home, '.local', 'share', 'codex-task');
  await mkdir(join(data, 'tasks', 'a', 'work'), { recursive: true });
  await Promise.all(['.nvm/bin', '.local/bin', 'zz/bin'].map((path) => makeFolder(path)));
});

const makeFolder = (path: string) => mkdir(join(home, path), { recursive: true });
const crowd = (count: number, name = (i: number) => `d${i}`) =>
  Promise.all(Array.from({ length: count }, (_, i) => makeFolder(name(i))));
const inHome = (places: readonly string[]) => places.filter((path) => path.startsWith(`${home}/`));
const leftOutOf = (folder: string, path?: string) =>
  placesBeside([data], path).leftOut.find((each) => each.folder === folder)?.count ?? 0;

describe('the entries next to a parent of the data folder', () => {
  test('shows every entry next to a parent of the data folder when there are few', async () => {
    await crowd(150);
    // The third of the three lies on the way to the data folder: its own entries stand for it.
    expect(inHome(placesBeside([data]).places)).toHaveLength(150 + 2 + 1);
    expect(leftOutOf(home)).toBe(0);
  });

  test('shows entries up to a limit, hidden ones first, and counts the others', async () => {
    await crowd(210);
    const { places } = placesBeside([data]);
    expect(places).toEqual(expect.arrayContaining([join(home, '.nvm'), join(home, '.local', 'bin')]));
    expect(inHome(places)).toHaveLength(200 + 1);
    expect(leftOutOf(home)).toBe(210 + 2 - 200);
  });

  test('shows every entry that PATH names or leads below, whatever their number', async () => {
    await crowd(210, (i) => `tool${i}/bin`);
    const many = Array.from({ length: 210 }, (_, i) => join(home, `tool${i}`, 'bin'));
    const path = ['/usr/bin', 'relative', join(home, 'zz', 'bin'), join(home, 'gone'), ...many];
    const { places } = placesBeside([data], path.join(':'));
    expect(places).toEqual(expect.arrayContaining(many.map((each) => join(each, '..'))));
    expect(places).toContain(join(home, 'zz'));
  });

  test('never shows what PATH names of the data folder itself', () => {
    const path = [data, join(data, 'tasks', 'a', 'work'), home, '/proc/self', '/'].join(':');
    expect(placesBeside([data], path)).toEqual(placesBeside([data]));
  });

  test('fits the entries into one argument of a command, however long they are', async () => {
    const long = (i: number) => `${i}`.padEnd(250, 'x');
    await crowd(200, long);
    await crowd(200, (i) => `.local/${long(i)}`);
    await crowd(200, (i) => `.local/share/${long(i)}`);
    const { places, leftOut } = placesBeside([data], join(home, 'zz', 'bin'));
    expect(Buffer.byteLength(places.join())).toBeLessThan(100_000);
    expect(places).toEqual(expect.arrayContaining(['/usr', '/etc', join(home, 'zz')]));
    expect(leftOut.map(({ folder }) => folder)).toContain(join(home, '.local', 'share'));
  });

  test('reports an entry whose name Codex would read as a pattern', async () => {
    await makeFolder('[a]');
    expect(leftOutOf(home)).toBe(1);
    expect(placesBeside([data], join(home, '[a]')).places).not.toContain(join(home, '[a]'));
  });
});

test('a task is warned of each folder that its commands see in part', async () => {
  await crowd(210);
  const warnings: string[] = [];
  const config = renderConfig({
    dataDir: data,
    workDir: join(data, 'tasks', 'a', 'work'),
    workerEnv: { PATH: join(home, 'zz', 'bin') },
    closed: [],
    warnings,
  });
  expect(warnings.filter((each) => each.includes(`of ${home} `))).toEqual([
    expect.stringMatching(/^Commands do not see 12 of the entries of .*CODEX_TASK_DATA_DIR/),
  ]);
  const { permissions } = parse(config) as { permissions: { task: { filesystem: object } } };
  expect(permissions.task.filesystem).toHaveProperty([join(home, 'zz')], 'read');
});
