import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, startTimeOf, type ProcessIdentity } from '../../src/process/process-identity.js';

export interface Leftover extends ProcessIdentity {
  command: string;
}

/**
 * Processes other than this one that have one of `marks` in their environment, command line, working folder or
 * open files. Empty where there is no /proc.
 */
export async function findLeftovers(marks: readonly string[]): Promise<Leftover[]> {
  const pids = (await readdir('/proc').catch(() => [])).map(Number).filter((pid) => pid > 1);
  const found = await Promise.all(pids.map((pid) => inspect(pid, marks)));
  return found.filter((leftover) => leftover !== null);
}

/** Gives processes that are on their way out `graceMs` to go; returns those that stay. */
export async function leftoversAfter(marks: readonly string[], graceMs: number): Promise<Leftover[]> {
  const deadline = performance.now() + graceMs;
  for (;;) {
    const leftovers = await findLeftovers(marks);
    if (leftovers.length === 0 || performance.now() > deadline) return leftovers;
    await sleep(50);
  }
}

/** Kills them: by process id and start time, nothing else. */
export async function endLeftovers(leftovers: readonly Leftover[]): Promise<void> {
  for (const leftover of leftovers) if (await isAlive(leftover)) process.kill(leftover.pid, 'SIGKILL');
}

async function inspect(pid: number, marks: readonly string[]): Promise<Leftover | null> {
  if (pid === process.pid) return null;
  const startTime = await startTimeOf(pid);
  if (startTime === undefined) return null;
  const [command, environment, ...links] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
    readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''),
    readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ...(await openFiles(pid)),
  ]);
  // A sandbox names every folder beside its own, those of other tests too.
  const own = /^\S*(bwrap|codex-linux-sandbox)\0/.test(command) ? '' : command;
  const hasMark = (text: string) => marks.some((mark) => text.includes(mark));
  if (![own, environment, ...links].some(hasMark)) return null;
  return isRunnersOwn(command) ? null : { pid, startTime, command: command.replaceAll('\0', ' ').trim() };
}

async function openFiles(pid: number): Promise<Promise<string>[]> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  return names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => ''));
}

/** The runner's own helpers inherit the mark and go when the runner goes. */
const isRunnersOwn = (command: string) =>
  /\/node_modules\/(vitest|tinypool|esbuild|@esbuild)\//.test(command);
