import { access, chmod, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { childEnvironment } from '../../src/codex/child-environment.js';
import { launchAppServer, type LaunchOptions } from '../../src/codex/launch.js';
import {
  isAlive,
  listProcesses,
  startTimeOf,
  type ProcessIdentity,
} from '../../src/process/process-identity.js';
import { stopProcess } from '../../src/process/stop-process.js';
import { testFolder } from '../support/folders.js';
import { connect, testTask, type TestTask } from './test-codex.js';

async function launchOptions(task: TestTask): Promise<LaunchOptions> {
  const { home, codexHome, work, socket, logFile } = task;
  const env = childEnvironment({ workerEnv: process.env, home, codexHome });
  onTestFinished(async () => {
    const record = await readFile(join(home, 'identity'), 'utf8').catch(() => undefined);
    if (record) await stopProcess(JSON.parse(record) as ProcessIdentity, { codexHome, socketPath: socket });
  });
  return {
    binary: (await findCodex()).path,
    workDir: work,
    socketPath: socket,
    env,
    logFile,
    onSpawned: (identity) => writeFile(join(home, 'identity'), JSON.stringify(identity)),
  };
}

/** An executable that codex's command line can be given to. */
async function script(text: string): Promise<string> {
  const file = join(await testFolder(), 'codex');
  await writeFile(file, `#!/bin/sh\n${text}\n`);
  await chmod(file, 0o755);
  return file;
}

test('a launched Codex is recorded, leads its own session and accepts connections', async () => {
  const task = await testTask();
  const seen: ProcessIdentity[] = [];
  const options = await launchOptions(task);
  const server = await launchAppServer({
    ...options,
    onSpawned: async (identity) => {
      seen.push(identity);
      await options.onSpawned?.(identity);
    },
  });
  expect(seen).toEqual([{ pid: server.pid, startTime: server.startTime }]);
  const entry = (await listProcesses()).find(({ pid }) => pid === server.pid);
  expect(entry).toMatchObject({ session: server.pid, group: server.pid, startTime: server.startTime });
  expect(await readlink(`/proc/${server.pid}/exe`)).toBe(options.binary);
  const { rpc } = await connect(server.socketPath);
  await expect(rpc.call('model/list', {}, { timeoutMs: 10_000 })).resolves.toHaveProperty('data');
});

test('the output of codex goes to a private file; the previous file is kept', async () => {
  const task = await testTask();
  await writeFile(task.logFile, 'of the launch before');
  await launchAppServer(await launchOptions(task));
  expect(await readFile(`${task.logFile}.old`, 'utf8')).toBe('of the launch before');
  expect((await stat(task.logFile)).mode & 0o777).toBe(0o600);
});

test('a socket path over 107 characters works', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  const socketPath = join(task.dataDir, `${'long'.repeat(30)}.sock`);
  const server = await launchAppServer({ ...options, socketPath });
  await connect(server.socketPath);
  await stopProcess(server, { codexHome: task.codexHome, socketPath });
});

test('a codex that dies at startup is reported with its last lines', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  const env = { ...options.env, CODEX_HOME: join(task.home, 'not-there') };
  await expect(launchAppServer({ ...options, env })).rejects.toMatchObject({
    code: 'CodexFailed',
    message: expect.stringMatching(
      /ended with exit code 1: .*CODEX_HOME points to .*does not exist/s,
    ) as string,
  });
});

test('the reported lines of codex hold no secret', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  const binary = await script('echo "key $MCP_KEY, header Bearer abc.def - sk-proj-0123456789"; exit 3');
  const env = { ...options.env, MCP_KEY: 'value-of-the-key' };
  const failure = await launchAppServer({ ...options, binary, env }).catch((error: unknown) => String(error));
  expect(failure).toContain('ended with exit code 3: key ***, header Bearer *** - ***');
});

test('a codex that never listens is killed at the deadline', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  let spawned: ProcessIdentity | undefined;
  const launch = launchAppServer({
    ...options,
    binary: await script('sleep 600'),
    timeoutMs: 300,
    onSpawned: (identity) => void (spawned = identity),
  });
  await expect(launch).rejects.toThrow('does not listen after 300 ms');
  expect(await isAlive(spawned!)).toBe(false);
});

test('an abort and a failing onSpawned leave nothing running', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  const spawned: ProcessIdentity[] = [];
  const controller = new AbortController();
  const aborted = launchAppServer({
    ...options,
    binary: await script('sleep 600'),
    signal: controller.signal,
    onSpawned: (identity) => {
      spawned.push(identity);
      controller.abort(new Error('not wanted'));
    },
  });
  await expect(aborted).rejects.toThrow('not wanted');
  const failed = launchAppServer({
    ...options,
    onSpawned: (identity) => {
      spawned.push(identity);
      throw new Error('disk full');
    },
  });
  await expect(failed).rejects.toThrow('disk full');
  expect(await Promise.all(spawned.map(({ pid }) => startTimeOf(pid)))).toEqual([undefined, undefined]);
  await expect(access(task.socket)).rejects.toThrow();
});

test('a second codex on the same socket is refused', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  await launchAppServer(options);
  await expect(launchAppServer(options)).rejects.toThrow('Another codex listens');
});

test('a program that cannot be started makes the host unfit', async () => {
  const task = await testTask();
  const options = await launchOptions(task);
  await expect(launchAppServer({ ...options, binary: join(task.work, 'none') })).rejects.toMatchObject({
    code: 'HostUnfit',
  });
});
