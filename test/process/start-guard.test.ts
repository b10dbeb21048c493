import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { uptimeSeconds, writeDeadline } from '../../src/process/deadline.js';
import { isAlive, listProcesses, startTimeOf } from '../../src/process/process-identity.js';
import { ensureGuard } from '../../src/process/start-guard.js';
import { writeProcessRecord } from '../../src/task-folder/process-record.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { askShared } from '../support/ask-shared.js';
import { elapse } from '../support/elapse.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

const TTL_MS = 60_000;

// It may have to be built first.
beforeAll(() => askShared('package'), 120_000);

/** A worker as far as the guard goes: does what a line says, then answers. */
const WORKER = `
  const [lib, dataDir] = process.argv.slice(1);
  const { ensureGuard } = await import(lib + '/process/start-guard.js');
  const { createInterface } = await import('node:readline');
  const guard = ensureGuard(dataDir, (error) => console.log('failed ' + error.code), process.env);
  for await (const line of createInterface({ input: process.stdin })) {
    guard[line]();
    console.log('done');
  }
`;

async function startWorker(dataDir: string, env: NodeJS.ProcessEnv = {}) {
  const lib = join(await askShared('package'), 'lib');
  const args = ['--input-type=module', '-e', WORKER, lib, dataDir];
  const child = spawn(process.execPath, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  onTestFinished(kill);
  const say = async (command: 'ensure' | 'close') => {
    const before = lines.length;
    child.stdin.write(`${command}\n`);
    await until('its answer', () => lines.slice(before).includes('done'));
  };
  return { say, lines, kill };
}

const commandLine = async (pid: number) =>
  (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');

/** The guards of a data folder that live. */
async function guardsOf(dataDir: string) {
  const processes = await listProcesses();
  const lines = await Promise.all(processes.map(({ pid }) => commandLine(pid)));
  return processes.filter(
    (_, index) => lines[index]![1]?.endsWith('/guard/main.js') && lines[index]![2] === dataDir,
  );
}

/** A folder whose guard is gone when the test is: it ends by itself, at the latest when there is no folder. */
async function guardedFolder(): Promise<string> {
  const dataDir = await realpath(await testFolder());
  onTestFinished(async () => {
    for (const { pid } of await guardsOf(dataDir)) process.kill(pid, 'SIGKILL');
    await until('the end of its guards', async () => (await guardsOf(dataDir)).length === 0);
  });
  return dataDir;
}

const theGuard = (dataDir: string) => until('a guard', async () => (await guardsOf(dataDir))[0]);

/** The worker hears of the end of its guard a little later than we see it. */
const again = (worker: { say(command: 'ensure'): Promise<void> }, dataDir: string) =>
  until('a guard again', async () => {
    await worker.say('ensure');
    return (await guardsOf(dataDir))[0];
  });

/** What stands for a codex: without one a guard ends soon. */
async function startCodex(dataDir: string) {
  const folder = taskFolder(dataDir, 'task');
  await mkdir(folder.codexHome, { recursive: true });
  const child = spawn('sleep', ['600'], { cwd: folder.root, env: { CODEX_HOME: folder.codexHome } });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await writeProcessRecord(folder, {
    pid: child.pid!,
    startTime: (await startTimeOf(child.pid!))!,
    socket: folder.socket,
    codexVersion: '0.171.0',
    taskId: 'task',
    launchedAt: new Date().toISOString(),
    runId: 'r',
    hostId: 'h',
  });
  return { folder, exited };
}

test('a guard starts once, and outlives its worker until the last Codex has stopped', async () => {
  const dataDir = await guardedFolder();
  const { folder, exited } = await startCodex(dataDir);
  const worker = await startWorker(dataDir);
  await worker.say('ensure');
  await worker.say('ensure');
  const guard = await theGuard(dataDir);
  expect(await guardsOf(dataDir)).toEqual([guard]);
  await worker.kill();
  expect(await isAlive(guard)).toBe(true);
  await writeDeadline(folder.root, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
  await exited;
  await until('the end of the guard', async () => !(await isAlive(guard)));
});

test('a guard stays as long as its worker, and one that died is started again', async () => {
  const dataDir = await guardedFolder();
  const worker = await startWorker(dataDir);
  await worker.say('ensure');
  const first = await theGuard(dataDir);
  await elapse(4_000);
  expect(await isAlive(first)).toBe(true);
  process.kill(first.pid, 'SIGKILL');
  await until('its end', async () => !(await isAlive(first)));
  // Nobody asks for it.
  const second = await until('a guard again', async () => (await guardsOf(dataDir))[0]);
  process.kill(second.pid, 'SIGKILL');
  await until('its end', async () => !(await isAlive(second)));
  expect((await again(worker, dataDir)).pid).not.toBe(second.pid);
  expect(worker.lines.filter((line) => line !== 'done')).toEqual([]);
  const third = await theGuard(dataDir);
  await worker.kill();
  await until('its end', async () => !(await isAlive(third)));
});

test.each([0, 1_000, 2_600, 3_300])(
  'a Codex started %i ms after the last one is stopped though the worker is killed',
  async (pauseMs) => {
    const dataDir = await guardedFolder();
    const before = await startWorker(dataDir);
    await before.say('ensure');
    await theGuard(dataDir);
    // The next worker comes while the guard of the one before is leaving.
    await before.kill();
    await elapse(pauseMs);
    const worker = await startWorker(dataDir);
    await worker.say('ensure');
    const { folder, exited } = await startCodex(dataDir);
    await writeDeadline(folder.root, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
    await worker.kill();
    await exited;
  },
);

test('a guard gets only what it needs of its worker’s environment', async () => {
  const dataDir = await guardedFolder();
  const worker = await startWorker(dataDir, {
    MONGODB_URI: 'mongodb://u:secret@h/d',
    CODEX_TASK_SEED_KEY: 'k',
  });
  await worker.say('ensure');
  const { pid } = await theGuard(dataDir);
  const names = (await readFile(`/proc/${pid}/environ`, 'utf8'))
    .split('\0')
    .map((each) => each.split('=')[0]);
  const allowed = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'LC_ALL', 'LD_LIBRARY_PATH', ''];
  expect(names.filter((name) => !allowed.includes(name!))).toEqual([]);
});

test('a worker that ends its guard leaves it until Codex has stopped', async () => {
  const dataDir = await guardedFolder();
  const { folder, exited } = await startCodex(dataDir);
  const worker = await startWorker(dataDir);
  await worker.say('ensure');
  const guard = await theGuard(dataDir);
  await worker.say('close');
  await worker.kill();
  await writeDeadline(folder.root, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
  await exited;
  await until('the end of the guard', async () => !(await isAlive(guard)));
});

test('a worker that leaves no Codex ends its guard at once', async () => {
  const dataDir = await guardedFolder();
  const worker = await startWorker(dataDir);
  await worker.say('close');
  await worker.say('ensure');
  const guard = await theGuard(dataDir);
  await worker.say('close');
  await until('its end', async () => !(await isAlive(guard)));
  await worker.say('close');
  expect(worker.lines).toEqual(['done', 'done', 'done', 'done']);
});

test('a guard that cannot be started is reported and tried again', async () => {
  const dataDir = join(await guardedFolder(), 'later');
  const worker = await startWorker(dataDir);
  await worker.say('ensure');
  await until('the failure', () => worker.lines.includes('failed ENOENT'));
  await mkdir(dataDir);
  await worker.say('ensure');
  const guard = await theGuard(dataDir);
  await worker.say('close');
  await until('its end', async () => !(await isAlive(guard)));
});

test('a worker run from source starts no guard, since there is no program to start', async () => {
  const dataDir = await guardedFolder();
  const errors: Error[] = [];
  const guard = ensureGuard(dataDir, (error) => errors.push(error), process.env);
  guard.ensure();
  await guard.close();
  expect([await guardsOf(dataDir), errors]).toEqual([[], []]);
});
