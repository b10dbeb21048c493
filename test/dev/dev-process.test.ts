import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cacheFolder } from '../../src/dev/cache-folder.js';
import type { DevLine } from '../../src/dev/dev-page.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder, testFolder } from '../support/folders.js';
import { findLeftovers, leftoversAfter } from '../support/leftovers.js';

const own = (name: string) => fileURLToPath(new URL(name, import.meta.url));

let built: { path: string; remove: () => Promise<void> };
beforeAll(async () => {
  built = await makeFolder();
  await buildPackage(built.path);
});
afterAll(() => built.remove());

/** Starts `dev` with real servers as a process that leads its own group, as a shell starts it. */
async function startDev() {
  const home = await testFolder();
  const ephemeral = join(home, 'codex-task', 'ephemeral');
  await mkdir(ephemeral, { recursive: true });
  // What is fetched and built is taken from the real cache; only the fresh folder lies here.
  for (const name of await readdir(cacheFolder(process.env))) {
    if (name !== 'ephemeral')
      await symlink(join(cacheFolder(process.env), name), join(home, 'codex-task', name));
  }
  const workerLog = join(home, 'worker.log');
  const child = spawn(process.execPath, [own('run-dev.mjs')], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      TEMPORAL_ADDRESS: '',
      MONGODB_URI: '',
      XDG_CACHE_HOME: home,
      PACKAGE: built.path,
      FAKE_WORKER: own('fake-worker.mjs'),
      FAKE_WORKER_LOG: workerLog,
    },
  });
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  const [text] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    line: JSON.parse(text) as DevLine,
    pid: child.pid!,
    exited,
    mark: ephemeral,
    folders: () => readdir(ephemeral),
    workerEnd: async () =>
      JSON.parse((await readFile(workerLog, 'utf8')).trim().split('\n').at(-1)!) as object,
  };
}

test('SIGTERM ends the worker while its servers still answer, then the servers', async () => {
  const dev = await startDev();
  const client = new MongoClient(dev.line.mongodbUri);
  await client.db().collection('c').insertOne({ a: 1 });
  await client.close();
  const began = performance.now();
  process.kill(dev.pid, 'SIGTERM');
  expect(await dev.exited).toEqual([0, null]);
  expect(performance.now() - began).toBeLessThan(15_000);
  expect(await dev.workerEnd()).toEqual({ event: 'stopping', temporal: true, mongodb: true });
  expect(await findLeftovers([dev.mark])).toEqual([]);
  expect(await dev.folders()).toEqual([]);
});

test('Ctrl-C reaches dev alone, which ends its worker first', async () => {
  const dev = await startDev();
  process.kill(-dev.pid, 'SIGINT');
  expect(await dev.exited).toEqual([0, null]);
  expect(await dev.workerEnd()).toEqual({ event: 'stopping', temporal: true, mongodb: true });
  expect(await findLeftovers([dev.mark])).toEqual([]);
});

test('SIGKILL of dev ends its servers and its worker', async () => {
  const dev = await startDev();
  expect(await findLeftovers([dev.mark])).not.toEqual([]);
  process.kill(dev.pid, 'SIGKILL');
  await dev.exited;
  expect(await leftoversAfter([dev.mark], 10_000)).toEqual([]);
});
