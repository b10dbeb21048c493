import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { openDataFolder } from '../../src/process/data-folder.js';
import { lockFolder } from '../../src/process/folder-lock.js';
import { testFolder } from '../support/folders.js';

const FOLDER_LOCK = fileURLToPath(new URL('../../lib/process/folder-lock.js', import.meta.url));
const HOLDS = `import { lockFolder } from ${JSON.stringify(FOLDER_LOCK)};
console.log(lockFolder(process.argv[1], 'worker') ? 'taken' : 'refused');
if (process.argv[2]) setInterval(() => {}, 1e6);`;

const inAnotherProcess = (folder: string, assignments = '') => [
  process.execPath,
  '--input-type=module',
  '-e',
  HOLDS,
  folder,
  assignments,
];

test('a second worker on a data folder is told that the first one uses it', async () => {
  const path = await testFolder();
  const first = await openDataFolder(path);
  await expect(openDataFolder(path)).rejects.toMatchObject({
    code: 'HostUnfit',
    message: /in use by another/,
  });
  first.unlock();
  const second = await openDataFolder(path);
  expect(second.hostId).toBe(first.hostId);
  second.unlock();
});

test('a lock holds across processes, network and process namespaces of the same folder', async () => {
  const path = await testFolder();
  const lock = lockFolder(path, 'worker');
  const [node, ...args] = inAnotherProcess(path);
  const plain = spawnSync(node!, args, { encoding: 'utf8' });
  expect(plain.stdout.trim()).toBe('refused');
  const apart = ['--user', '--map-root-user', '--net', '--pid', '--fork', '--', node!, ...args];
  const elsewhere = spawnSync('unshare', apart, { encoding: 'utf8' });
  expect(elsewhere.stdout.trim()).toBe('refused');
  lock!.release();
});

test('a lock ends with a killed process', async () => {
  const path = await testFolder();
  const [node, ...args] = inAnotherProcess(path, 'assignments');
  const holder = spawn(node!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void holder.kill('SIGKILL'));
  const [said] = (await once(holder.stdout, 'data')) as [Buffer];
  expect(said.toString().trim()).toBe('taken');
  expect(lockFolder(path, 'worker')).toBeNull();
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = lockFolder(path, 'worker');
  expect(lock).not.toBeNull();
  lock!.release();
});
