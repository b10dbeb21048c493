import { readFile } from 'node:fs/promises';
import { listProcesses, type ProcessIdentity } from '../../src/process/process-identity.js';

/** A process of this machine that runs exactly this command, its words joined by blanks. */
export async function runningCommand(command: string): Promise<ProcessIdentity | undefined> {
  const processes = await listProcesses();
  const lines = await Promise.all(processes.map(({ pid }) => commandLine(pid)));
  return processes.find((_, index) => lines[index] === command);
}

const commandLine = async (pid: number) =>
  (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim();
