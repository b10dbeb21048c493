import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findLeftovers } from '../support/leftovers.js';
import { isAlive } from '../../src/process/process-identity.js';

/**
 * What a virtual machine goes through that is paused: every process of the host stands still, and by its clock since
 * boot no time has passed, so each deadline by that clock lies as far ahead as before. The clock of the wall was set
 * meanwhile.
 */
export async function suspendMachine(dataDir: string, ms: number): Promise<void> {
  const processes = await findLeftovers([dataDir]);
  const toAll = async (signal: NodeJS.Signals) => {
    for (const each of processes) if (await isAlive(each)) process.kill(each.pid, signal);
  };
  await toAll('SIGSTOP');
  await sleep(ms);
  const names = await readdir(join(dataDir, 'tasks')).catch((): string[] => []);
  for (const folder of [dataDir, ...names.map((name) => join(dataDir, 'tasks', name))])
    await putOff(join(folder, 'deadline'), ms / 1_000);
  await toAll('SIGCONT');
}

async function putOff(file: string, seconds: number): Promise<void> {
  const [boot, ...rest] = (await readFile(file, 'utf8').catch(() => '')).trim().split(' ');
  if (!boot) return;
  await writeFile(`${file}.later`, `${[Number(boot) + seconds, ...rest].join(' ')}\n`);
  await rename(`${file}.later`, file);
}
