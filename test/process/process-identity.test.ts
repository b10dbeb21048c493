import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  descendantsOf,
  isAlive,
  listProcesses,
  livingIn,
  sessionMembers,
  startTimeOf,
} from '../../src/process/process-identity.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

function started(child: ChildProcess): number {
  onTestFinished(() => void child.kill('SIGKILL'));
  return child.pid!;
}

test('a process is identified by its pid and start time together', async () => {
  const pid = started(spawn('sleep', ['606.25']));
  const startTime = await until('its start time', () => startTimeOf(pid));
  expect(await isAlive({ pid, startTime })).toBe(true);
  expect(await isAlive({ pid, startTime: startTime - 1 })).toBe(false);
  process.kill(pid, 'SIGKILL');
  await until('its end', async () => !(await isAlive({ pid, startTime })));
});

test('a process that waits to be reaped counts as gone', async () => {
  // The shell becomes a sleep that knows nothing of the child it never waited for.
  const child = "sh -c 'until grep -q sleep /proc/$PPID/comm; do :; done'";
  const script = `${child} & echo $!; exec sleep 605.25`;
  const shell = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  started(shell);
  const [line] = (await shell.stdout.take(1).toArray()) as Buffer[];
  const zombie = Number(line?.toString());
  await until('the zombie', async () => (await startTimeOf(zombie)) === undefined);
  expect(() => process.kill(zombie, 0)).not.toThrow();
});

test('a name with spaces and parentheses does not confuse the start time', async () => {
  const name = join(await testFolder(), 'a) R (b');
  await copyFile('/bin/sleep', name);
  await chmod(name, 0o755);
  const pid = started(spawn(name, ['607.25']));
  const startTime = await until('its start time', () => startTimeOf(pid));
  expect(startTime).toBeGreaterThanOrEqual((await startTimeOf(process.pid))!);
  expect((await listProcesses()).find((each) => each.pid === pid)?.parent).toBe(process.pid);
});

test('children, session members and the processes in a folder are found', async () => {
  const folder = await testFolder();
  const shell = spawn('sh', ['-c', 'sleep 608.25 & HOME=/elsewhere setsid sleep 609.25 & wait'], {
    detached: true,
    env: { PATH: process.env['PATH'], HOME: join(folder, 'home') },
  });
  const pid = started(shell);
  onTestFinished(async () => {
    for (const each of descendantsOf(pid, await listProcesses())) process.kill(each.pid, 'SIGKILL');
  });
  const found = await until('both sleeps', async () => {
    const processes = await listProcesses();
    const below = descendantsOf(pid, processes);
    const inSession = sessionMembers(pid, processes);
    // Until its exec a child is a copy of the shell, in its session and with its environment.
    return below.length === 2 && inSession.length === 2 && { below, inSession, processes };
  });
  const pids = (entries: { pid: number }[]) => entries.map((each) => each.pid).sort();
  expect(pids(found.inSession)).toContain(pid);
  const inFolder = await livingIn(folder, found.processes);
  expect(pids(inFolder)).toEqual(pids(found.inSession));
  expect(await livingIn(`${folder}x`, found.processes)).toEqual([]);
});
