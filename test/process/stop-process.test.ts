import { access, readlink } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/process/process-identity.js';
import { stopProcess } from '../../src/process/stop-process.js';
import { startTestCodex, type TestCodex } from '../codex/test-codex.js';
import { runningCommand } from '../support/running-command.js';
import { until } from '../support/until.js';
import { timeLimit } from '../../src/async/time-limit.js';

const stop = (codex: TestCodex, more: { graceMs?: number; secondGraceMs?: number } = {}) =>
  stopProcess(codex.server, { codexHome: codex.codexHome, socketPath: codex.socket, ...more });

const running = (command: string) => until(`a process ${command}`, () => runningCommand(command));

/** Codex kills the group of a command that is over, and with it what has not left the group by then. */
const moves = (setsid: string, seconds: number) =>
  `${setsid} sh -c 'touch moved-${seconds}; exec sleep ${seconds}' > /dev/null 2>&1 &`;
const areMoved = (...seconds: number[]) =>
  seconds.map((each) => `until [ -e moved-${each} ]; do sleep 0.01; done`).join('; ');

test('an idle codex ends at the first signal and leaves no socket', async () => {
  const codex = await startTestCodex();
  const daemonSocket = await readlink(codex.socket);
  expect(await stop(codex)).toBe('terminated');
  expect(await isAlive(codex.server)).toBe(false);
  for (const path of [codex.socket, daemonSocket, `${daemonSocket}.lock`])
    await expect(access(path)).rejects.toThrow();
});

test('a codex that is gone, or whose pid another process has, is left alone', async () => {
  const codex = await startTestCodex();
  await stop(codex);
  expect(await stop(codex)).toBe('gone');
  const other = { ...codex, server: { ...codex.server, pid: process.pid } };
  expect(await stop(other)).toBe('gone');
});

test('a running command ends with its turn', async () => {
  const codex = await startTestCodex();
  await codex.startTurn('exec sleep 601.25');
  const command = await running('sleep 601.25');
  expect(await stop(codex, { graceMs: 300 })).toMatch(/terminated|killed/);
  expect(await isAlive(codex.server)).toBe(false);
  expect(await isAlive(command)).toBe(false);
});

test('a codex with an open approval ends at the second signal', async () => {
  const codex = await startTestCodex({ approvals: 'on-request' });
  await codex.startTurn('touch /opt/x', { sandbox_permissions: 'require_escalated', justification: 'test' });
  await codex.saw('item/commandExecution/requestApproval');
  expect(await stop(codex, { graceMs: 300 })).toBe('terminated');
  expect(await isAlive(codex.server)).toBe(false);
});

test('a codex that ignores signals is killed, and its socket removed', async () => {
  const codex = await startTestCodex();
  const daemonSocket = await readlink(codex.socket);
  process.kill(codex.server.pid, 'SIGSTOP');
  expect(await stop(codex, { graceMs: 100, secondGraceMs: 100 })).toBe('killed');
  for (const path of [codex.socket, daemonSocket, `${daemonSocket}.lock`])
    await expect(access(path)).rejects.toThrow();
});

test('a process that a command moved to a session of its own is killed too', async () => {
  const codex = await startTestCodex({ config: () => ({ sandbox: { mode: 'danger-full-access' } }) });
  await codex.run(`${moves('setsid', 602.25)} ${moves('setsid -f', 603.25)} ${areMoved(602.25, 603.25)}`);
  const moved = [await running('sleep 602.25'), await running('sleep 603.25')];
  await stop(codex);
  expect(await Promise.all(moved.map(isAlive))).toEqual([false, false]);
});

test('leftover processes of a dead codex are found by its home', async () => {
  const codex = await startTestCodex({ config: () => ({ sandbox: { mode: 'danger-full-access' } }) });
  await codex.run(`${moves('setsid -f', 604.25)} ${areMoved(604.25)}`);
  const left = await running('sleep 604.25');
  process.kill(codex.server.pid, 'SIGKILL');
  await until('the end of codex', async () => !(await isAlive(codex.server)));
  expect(await isAlive(left)).toBe(true);
  expect(await stop(codex)).toBe('gone');
  expect(await isAlive(left)).toBe(false);
});

test('an abort stops the wait', async () => {
  const codex = await startTestCodex();
  process.kill(codex.server.pid, 'SIGSTOP');
  const signal = timeLimit(100);
  const { codexHome, socket } = codex;
  const stopped = stopProcess(codex.server, { codexHome, socketPath: socket, signal });
  await expect(stopped).rejects.toThrow('no end after 0.1 s');
  expect(await isAlive(codex.server)).toBe(true);
});
