import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { guardTasks } from '../../src/guard/guard-tasks.js';
import { readDeadline, uptimeSeconds, writeDeadline } from '../../src/host/deadline.js';
import { lockFolder } from '../../src/host/folder-lock.js';
import { isAlive, startTimeOf } from '../../src/host/process-identity.js';
import { writeProcessRecord } from '../../src/session/records/process-record.js';
import { taskFolder } from '../../src/session/records/task-folder.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

const TTL_MS = 60_000;

/** A task whose "codex" is a process that only ends when it is told to. */
async function runningTask(dataDir: string, taskId: string) {
  const folder = taskFolder(dataDir, taskId);
  await mkdir(folder.codexHome, { recursive: true });
  const child = spawn('sleep', ['600'], {
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
    codexVersion: '0.169.0',
    taskId,
    launchedAt: new Date().toISOString(),
    runId: 'r',
    hostId: 'h',
    seedId: 's',
  });
  return { folder, identity, ended };
}

test('a codex whose lease nobody renewed is stopped; one with time left and one without a lease go on', async () => {
  const dataDir = await testFolder();
  const [late, early, free] = await Promise.all(
    ['late', 'early', 'free'].map((id) => runningTask(dataDir, id)),
  );
  await writeDeadline(late!.folder.root, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
  await writeDeadline(early!.folder.root, uptimeSeconds(), TTL_MS);
  // Somebody else's.
  await mkdir(join(dataDir, 'tasks', '.no task'));
  const guarding = guardTasks(dataDir);
  await late!.ended;
  expect(await isAlive(early!.identity)).toBe(true);
  expect(await isAlive(free!.identity)).toBe(true);
  expect(await readFile(join(dataDir, 'guard.log'), 'utf8')).toContain('"taskId":"late"');

  // A renewal that did not come any more.
  await writeDeadline(early!.folder.root, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
  await early!.ended;
  expect(await isAlive(free!.identity)).toBe(true);
  process.kill(free!.identity.pid, 'SIGKILL');
  await guarding;
}, 40_000);

test('every codex is stopped when nobody renewed the right of the host, with or without a lease of its own', async () => {
  const dataDir = await testFolder();
  const [leased, free] = await Promise.all(['leased', 'free'].map((id) => runningTask(dataDir, id)));
  await writeDeadline(leased!.folder.root, uptimeSeconds(), TTL_MS);
  await writeDeadline(dataDir, uptimeSeconds() - TTL_MS / 1000, TTL_MS);
  const guarding = guardTasks(dataDir);
  await Promise.all([leased!.ended, free!.ended]);
  await guarding;
  const log = await readFile(join(dataDir, 'guard.log'), 'utf8');
  expect(log.match(/"of":"host"/g)).toHaveLength(2);
}, 40_000);

test('one guard is enough: a second one of the same folder ends at once', async () => {
  const dataDir = await testFolder();
  const lock = await lockFolder(dataDir, 'guard');
  await guardTasks(dataDir);
  lock?.close();
});

test('a deadline lies the time of a stop before the end of the lease', async () => {
  const folder = await testFolder();
  expect(await readDeadline(folder)).toBeNull();
  await writeDeadline(folder, 1_000, TTL_MS);
  expect(await readDeadline(folder)).toBe(1_050);
  await writeDeadline(folder, 1_000, 12_000);
  expect(await readDeadline(folder)).toBe(1_006);
  await until('the clock', () => uptimeSeconds() > 0);
});
