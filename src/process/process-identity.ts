import { readdir, readFile } from 'node:fs/promises';

/** A process, told apart from a later one with the same pid by when it started. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot, field 22 of /proc/<pid>/stat. */
  startTime: number;
}

export interface ProcessEntry extends ProcessIdentity {
  parent: number;
  group: number;
  session: number;
}

/**
 * When the process started, in clock ticks since boot; undefined when it is gone or only waits to be reaped.
 * @throws what the system says where it does not tell, as without a free file descriptor
 */
export const startTimeOf = async (pid: number): Promise<number | undefined> =>
  (await entryOf(pid))?.startTime;

export const isAlive = async ({ pid, startTime }: ProcessIdentity): Promise<boolean> =>
  (await startTimeOf(pid)) === startTime;

/** Every process of this machine that runs now; those that only wait to be reaped are left out. */
export async function listProcesses(): Promise<ProcessEntry[]> {
  const names = await readdir('/proc');
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const entries = await Promise.all(pids.map(entryOf));
  return entries.filter((entry) => entry !== undefined);
}

/** The processes below this pid in the tree of parents, children before grandchildren. */
export function descendantsOf(pid: number, processes: readonly ProcessEntry[]): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (let level = new Set([pid]); level.size > 0;) {
    const below = processes.filter(({ parent }) => level.has(parent));
    found.push(...below);
    level = new Set(below.map((entry) => entry.pid));
  }
  return found;
}

/** The processes whose session or group this pid leads or led, itself included. */
export const sessionMembers = (pid: number, processes: readonly ProcessEntry[]): ProcessEntry[] =>
  processes.filter(({ session, group }) => session === pid || group === pid);

/** The processes that were started with a HOME or CODEX_HOME in this folder. */
export async function livingIn(folder: string, processes: readonly ProcessEntry[]): Promise<ProcessEntry[]> {
  const homes = ['HOME', 'CODEX_HOME'].map((name) => `${name}=${folder}/`);
  const lives = await Promise.all(
    processes.map(async ({ pid }) => {
      const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(unlessUnknown);
      return variables.split('\0').some((entry) => homes.some((home) => entry.startsWith(home)));
    }),
  );
  return processes.filter((_, index) => lives[index]);
}

async function entryOf(pid: number): Promise<ProcessEntry | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(unlessUnknown);
  // pid (comm) state ppid pgrp session …: comm may hold spaces and parentheses, what follows holds none.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 19 || state === 'Z' || state === 'X') return undefined;
  const [parent = 0, group = 0, session = 0] = fields.map(Number);
  return { pid, parent, group, session, startTime: Number(fields[18]) };
}

/** A process that is gone has nothing to read, and another user's nothing for us; all else says nothing about it. */
function unlessUnknown(error: NodeJS.ErrnoException): string {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) return '';
  throw error;
}
