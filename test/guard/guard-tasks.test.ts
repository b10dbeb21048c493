import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { guardTasks } from '../../src/guard/guard-tasks.js';
import { readDeadline, uptimeSeconds, writeDeadline } from '../../src/process/deadline.js';
import { lockFolder } from '../../src/process/folder-lock.js';
import { isAlive, startTimeOf } from '../../src/process/process-identity.js';
import { isNotedFenced } from '../../src/task-folder/fenced-process.js';
import { readProcessRecord, writeProcessRecord } from '../../src/task-folder/process-record.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { elapse } from '../support/elapse.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

const TTL_MS = 60_000;
/** The worker has ended already. */
const NO_WORKER = AbortSignal.abort();

/** A task whose "codex" is a process that only ends when it is told to, or follows the script in its folder. */
async function runningTask(dataDir: string, taskId: string, script?: string) {
  const folder = taskFolder(dataDir, taskId);
  await mkdir(folder.codexHome, { recursive: true });
  const [command, args] = script === undefined ? ['sleep', ['600']] : [process.execPath, ['-e', script]];
  const child = spawn(command, args, {
    cwd: folder.root,
    detached: true,
    stdio: 'ignore',
    env: { CODEX_HOME: folder.codexHome },
  });
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const identity = { pid: child.pid!, startTime: (await startTimeOf(child.pid!))! };
  await writeProcessRecord(folder, {
    ...identity,
    socket: folder.socket,
    codexVersion: '0.171.0',
    taskId,
    launchedAt: new Date().toISOString(),
    runId: 'r',
    hostId: 'h',
    seedId: 's',
  });
  if (script !== undefined) await until('its script', () => existsSync(join(folder.root, 'ready')));
  return { folder, identity, ended };
}

/** A lease that ended just now. */
const passed = (folder: TaskFolder) => writeDeadline(folder.root, uptimeSeconds() - TTL_MS / 1000, TTL_MS);

test('a guard stops a Codex whose lease ran out, and leaves others alone', async () => {
  const dataDir = await testFolder();
  const [late, early, free, reused] = await Promise.all(
    ['late', 'early', 'free', 'reused'].map((id) => runningTask(dataDir, id)),
  );
  await passed(late!.folder);
  // The pid of a codex that ended belongs to another process now.
  const record = (await readProcessRecord(reused!.folder))!;
  await writeProcessRecord(reused!.folder, { ...record, startTime: record.startTime - 1 });
  await passed(reused!.folder);
  await writeDeadline(early!.folder.root, uptimeSeconds(), TTL_MS);
  // Somebody else's.
  await mkdir(join(dataDir, 'tasks', '.no task'));
  const guarding = guardTasks(dataDir, NO_WORKER);
  await late!.ended;
  expect(await isAlive(early!.identity)).toBe(true);
  expect(await isAlive(free!.identity)).toBe(true);
  expect(await readFile(join(dataDir, 'guard.log'), 'utf8')).toContain('"taskId":"late"');
  expect(isNotedFenced(late!.folder, late!.identity)).toBe(true);
  expect(isNotedFenced(early!.folder, early!.identity)).toBe(false);

  // A renewal that did not come any more.
  await passed(early!.folder);
  await early!.ended;
  expect(await isAlive(free!.identity)).toBe(true);
  process.kill(free!.identity.pid, 'SIGKILL');
  await guarding;
  expect(await isAlive(reused!.identity)).toBe(true);
});

test('a guard waits while the worker lives, and stops Codex before its lease ends', async () => {
  const dataDir = await testFolder();
  const worker = new AbortController();
  let isOver = false;
  const guarding = guardTasks(dataDir, worker.signal).finally(() => (isOver = true));
  // Longer than it stays without a worker.
  await elapse(3_000);
  expect(isOver).toBe(false);
  const { folder, identity, ended } = await runningTask(dataDir, 'task');
  // Five seconds left.
  await writeDeadline(folder.root, uptimeSeconds() - TTL_MS / 1000 + 15, TTL_MS);
  const endedAt = ended.then(uptimeSeconds);
  worker.abort();
  await guarding;
  expect(await isAlive(identity)).toBe(false);
  const deadline = (await readDeadline(folder.root))!;
  expect(await endedAt).toBeGreaterThanOrEqual(deadline);
  expect(await endedAt).toBeLessThan(deadline + 10);
});

/** Writes at the signal, as codex may write its refreshed auth.json, and has left a process that it does not know. */
const WRITES_LAST = `
  const { spawnSync } = require('node:child_process');
  const { writeFileSync } = require('node:fs');
  process.once('SIGTERM', () => setTimeout(() => { writeFileSync('written', ''); process.exit(); }, 500));
  spawnSync('/bin/sh', ['-c', 'sleep 600 & echo $! > left'], { detached: true, stdio: 'ignore' });
  writeFileSync('ready', '');
  setInterval(() => {}, 1000);
`;

test('a stopped Codex has time to write, and stops even when the disk takes no log', async () => {
  const dataDir = await testFolder();
  await mkdir(join(dataDir, 'guard.log'));
  const { folder, identity, ended } = await runningTask(dataDir, 'task', WRITES_LAST);
  const pid = Number(await readFile(join(folder.root, 'left'), 'utf8'));
  const left = { pid, startTime: (await startTimeOf(pid))! };
  onTestFinished(async () => void ((await isAlive(left)) && process.kill(pid, 'SIGKILL')));
  await passed(folder);
  await guardTasks(dataDir, NO_WORKER);
  expect(await isAlive(identity)).toBe(false);
  await ended;
  expect(existsSync(join(folder.root, 'written'))).toBe(true);
  expect(await isAlive(left)).toBe(false);
});

test('a codex that ends slowly keeps no other one beyond its lease', async () => {
  const dataDir = await testFolder();
  const ignores = `process.on('SIGTERM', () => {});
    require('node:fs').writeFileSync('ready', '');
    setInterval(() => {}, 1000);`;
  const slow = await runningTask(dataDir, 'slow', ignores);
  const other = await runningTask(dataDir, 'other');
  await passed(slow.folder);
  const guarding = guardTasks(dataDir, NO_WORKER);
  await until('a stop', () => existsSync(join(dataDir, 'guard.log')));
  await passed(other.folder);
  const first = await Promise.race([
    slow.ended.then(() => 'the slow one'),
    other.ended.then(() => 'the other'),
  ]);
  expect(first).toBe('the other');
  process.kill(slow.identity.pid, 'SIGKILL');
  await guarding;
});

test('a guard stops every codex when nobody renewed the lease of the host', async () => {
  const dataDir = await testFolder();
  const [leased, free] = await Promise.all(['leased', 'free'].map((id) => runningTask(dataDir, id)));
  await writeDeadline(leased!.folder.root, uptimeSeconds(), TTL_MS);
  await writeDeadline(dataDir, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
  const guarding = guardTasks(dataDir, NO_WORKER);
  await Promise.all([leased!.ended, free!.ended]);
  await guarding;
  const log = await readFile(join(dataDir, 'guard.log'), 'utf8');
  expect(log.match(/"of":"host"/g)).toHaveLength(2);
});

test('the wall clock reveals a paused machine whose clock since boot stood still', async () => {
  const dataDir = await testFolder();
  const { folder, identity, ended } = await runningTask(dataDir, 'task');
  // Renewed a minute ago by the wall, just now by the other.
  await writeDeadline(folder.root, { boot: uptimeSeconds(), wall: Date.now() / 1_000 - 60 }, TTL_MS);
  await guardTasks(dataDir, NO_WORKER);
  await ended;
  expect(await isAlive(identity)).toBe(false);
});

test.each([6_000, 12_000])(
  'a Codex that ignores SIGTERM is gone before its lease ends, even one of %i ms',
  async (ttlMs) => {
    const dataDir = await testFolder();
    const ignores = `process.on('SIGTERM', () => {});
      require('node:fs').writeFileSync('ready', '');
      setInterval(() => {}, 1000);`;
    const { folder, identity, ended } = await runningTask(dataDir, 'task', ignores);
    const renewedAt = uptimeSeconds();
    await writeDeadline(folder.root, renewedAt, ttlMs);
    const goneAt = ended.then(uptimeSeconds);
    await guardTasks(dataDir, NO_WORKER);
    expect(await isAlive(identity)).toBe(false);
    expect((await goneAt) - renewedAt).toBeGreaterThanOrEqual(ttlMs / 2_000);
    expect((await goneAt) - renewedAt).toBeLessThan(ttlMs / 1_000);
  },
);

test('a second guard stands by, exits soon without a worker, or takes over', async () => {
  const dataDir = await testFolder();
  const lock = lockFolder(dataDir, 'guard');
  const { folder, identity, ended } = await runningTask(dataDir, 'task');
  await passed(folder);
  await guardTasks(dataDir, NO_WORKER);
  expect(await isAlive(identity)).toBe(true);
  const worker = new AbortController();
  const standing = guardTasks(dataDir, worker.signal);
  lock?.release();
  await ended;
  worker.abort();
  await standing;
});

test('a process that cannot be examined counts as living', async () => {
  const dataDir = await testFolder();
  const { folder, identity } = await runningTask(dataDir, 'task');
  await writeDeadline(folder.root, uptimeSeconds(), TTL_MS);
  const record = await readFile(folder.processJson);
  // A record that is there and cannot be read.
  await rm(folder.processJson);
  await mkdir(folder.processJson);
  let isOver = false;
  const guarding = guardTasks(dataDir, NO_WORKER).finally(() => (isOver = true));
  await elapse(2_500);
  expect(isOver).toBe(false);
  await rmdir(folder.processJson);
  await writeFile(folder.processJson, record);
  await passed(folder);
  await guarding;
  expect(await isAlive(identity)).toBe(false);
});

test('a deadline is earlier than the end of the lease by the time of a stop', async () => {
  const folder = await testFolder();
  expect(await readDeadline(folder)).toBeNull();
  await writeDeadline(folder, 1_000, TTL_MS);
  expect(await readDeadline(folder)).toBe(1_050);
  await writeDeadline(folder, 1_000, 12_000);
  expect(await readDeadline(folder)).toBe(1_006);
  await until('the clock', () => uptimeSeconds() > 0);
});
