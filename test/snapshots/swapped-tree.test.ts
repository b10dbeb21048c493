import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { expect, it, onTestFinished } from 'vitest';
import { archiveOf, archiveTask, emptyTally } from '../../src/snapshots/archive-task.js';
import { noneSkipped, scanTree } from '../../src/snapshots/scan-tree.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { testFolder } from '../support/folders.js';

const SECRET = 'the-account-of-the-task';

async function newTask(): Promise<TaskFolder> {
  const folder = taskFolder(await testFolder(), 'a');
  for (const path of [folder.work, folder.codexHome]) await mkdir(path, { recursive: true });
  await writeFile(folder.authJson, SECRET);
  return folder;
}

const namesOf = (folder: TaskFolder): string[] =>
  [...scanTree(folder.work, 'work', () => false, noneSkipped())].flatMap((each) => (each ? [each.name] : []));

/** Exchanges two names in a loop, as one call of the system each time. */
const SWAP = `
import ctypes, sys
libc = ctypes.CDLL(None)
a, b = sys.argv[1].encode(), sys.argv[2].encode()
print('swapping', flush=True)
while libc.renameat2(-100, a, -100, b, 2) == 0:
    pass
`;

it(
  'a snapshot holds nothing from outside while folders and links swap places',
  { timeout: 60_000 },
  async () => {
    const folder = await newTask();
    const [cfg, lnk] = [join(folder.work, 'cfg'), join(folder.work, 'lnk')];
    await mkdir(cfg);
    await writeFile(join(cfg, 'auth.json'), 'decoy');
    await symlink(folder.codexHome, lnk);
    const swapper = spawn('python3', ['-c', SWAP, cfg, lnk], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void swapper.kill('SIGKILL'));
    await once(swapper.stdout, 'data');
    let decoys = 0;
    for (const end = performance.now() + 5_000; performance.now() < end;) {
      const bytes = gunzipSync(await buffer(archiveTask(folder, { exclude: null, tally: emptyTally() })));
      expect(bytes.includes(SECRET)).toBe(false);
      if (bytes.includes('decoy')) decoys++;
    }
    expect(decoys).toBeGreaterThan(0);
    expect(swapper.exitCode).toBeNull();
  },
);

/** Runs as a user whom rights bind, where the tests run as root. */
function unprivileged<T>(run: () => T): T {
  if (process.geteuid!() !== 0) return run();
  process.seteuid!(NOBODY);
  try {
    return run();
  } finally {
    process.seteuid!(0);
  }
}

const NOBODY = 65_534;

it('a snapshot changes no permissions outside while folders and links swap places', async () => {
  // Below folders of root's own nobody else would find it.
  const place = await mkdtemp('/tmp/swapped-');
  onTestFinished(() => rm(place, { recursive: true, force: true }));
  const [outside, work] = [join(place, 'outside'), join(place, 'work')];
  for (const path of [outside, work, join(work, 'a')]) await mkdir(path);
  await symlink(outside, join(work, 'b'));
  for (const path of [place, work, join(work, 'a'), outside])
    if (process.geteuid!() === 0) await chown(path, NOBODY, NOBODY);
  await chmod(outside, 0o500);
  await chmod(join(work, 'a'), 0o000);
  const before = statSync(outside, { bigint: true });
  const swapper = spawn('python3', ['-c', SWAP, join(work, 'a'), join(work, 'b')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void swapper.kill('SIGKILL'));
  await once(swapper.stdout, 'data');
  let seen = 0;
  for (const end = performance.now() + 3_000; performance.now() < end;) {
    seen += unprivileged(() => [...scanTree(work, 'work', () => false, noneSkipped())]).length;
    await setImmediate();
  }
  const after = statSync(outside, { bigint: true });
  expect([after.mode, after.ctimeNs]).toEqual([before.mode, before.ctimeNs]);
  expect(seen).toBeGreaterThan(100);
  expect(swapper.exitCode).toBeNull();
});

it('a walk follows no link in the place of a folder and reads none as a file', async () => {
  const folder = await newTask();
  await mkdir(join(folder.work, 'a'));
  await writeFile(join(folder.work, 'b'), 'mine');
  const skipped = noneSkipped();
  const found: string[] = [];
  for (const entry of scanTree(folder.work, 'work', () => false, skipped)) {
    if (!entry) continue;
    found.push(entry.name);
    if (entry.name !== 'work/a') continue;
    await rename(join(folder.work, 'a'), join(folder.work, 'z'));
    await symlink(folder.codexHome, join(folder.work, 'a'));
  }
  expect(found).not.toContain('work/a/auth.json');
  const content = archiveTask(folder, {
    exclude: null,
    onMember: (name) =>
      void (name === 'work/a' && execFileSync('ln', ['-sfn', folder.authJson, join(folder.work, 'b')])),
  });
  expect(gunzipSync(await buffer(content)).includes(SECRET)).toBe(false);
});

it('a snapshot names what has changed its type and takes the rest', async () => {
  const folder = await newTask();
  await symlink('x', join(folder.work, 'm'));
  await writeFile(join(folder.work, 'n'), 'mine');
  await writeFile(join(folder.work, 'z'), 'the rest');
  const tally = emptyTally();
  const swap = function* () {
    for (const entry of scanTree(folder.work, 'work', () => false, tally.skipped)) {
      if (entry?.type === 'symlink' || entry?.name === 'work/n')
        execFileSync('sh', ['-c', 'rm -rf "$1" && mkdir "$1"', 'sh', join(folder.work, entry.name.slice(5))]);
      yield entry;
    }
  };
  const bytes = gunzipSync(await buffer(archiveOf(swap(), { tally })));
  expect(bytes.includes('the rest')).toBe(true);
  expect(tally.skipped.first.map(({ name }) => name)).toEqual(['work/m', 'work/n']);
});

it('a walk goes hundreds of folders deep with few of them open, and returns to each', async () => {
  const folder = await newTask();
  let path = folder.work;
  const names: string[] = [];
  for (let i = 0; i < 300; i++) {
    path += '/d';
    await mkdir(path);
    await writeFile(`${path}/z`, '');
    names.push(`work${'/d'.repeat(i + 1)}`, `work${'/d'.repeat(i + 1)}/z`);
  }
  let most = 0;
  const found: string[] = [];
  const before = readdirSync('/proc/self/fd').length;
  for (const entry of scanTree(folder.work, 'work', () => false, noneSkipped())) {
    most = Math.max(most, readdirSync('/proc/self/fd').length - before);
    if (entry) found.push(entry.name);
  }
  expect(found.sort()).toEqual(names.sort());
  expect(most).toBeLessThan(100);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

it('a walk closes its folders when its reader stops', async () => {
  const folder = await newTask();
  await mkdir(join(folder.work, 'a', 'b', 'c'), { recursive: true });
  const before = readdirSync('/proc/self/fd').length;
  for (const entry of scanTree(folder.work, 'work', () => false, noneSkipped()))
    if (entry?.name === 'work/a/b/c') break;
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  expect(namesOf(folder)).toEqual(['work/a', 'work/a/b', 'work/a/b/c']);
});

it('a folder with more names than memory allows is refused by its name', async () => {
  const folder = await newTask();
  await mkdir(join(folder.work, 'full'));
  for (const name of ['a', 'b', 'c']) await writeFile(join(folder.work, 'full', name), '');
  const walk = (most: number) => [...scanTree(folder.work, 'work', () => false, noneSkipped(), most)].length;
  expect(walk(3)).toBe(4);
  const before = readdirSync('/proc/self/fd').length;
  expect(() => walk(2)).toThrow(/^work\/full has over 2 names.*snapshot\.exclude$/);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});
