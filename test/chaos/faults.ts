import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChaosStack } from './chaos-stack.js';
import { isLong, outageOf, type Fault, type Outage } from './faults-of-chaos.js';
import { suspendMachine } from './suspend-machine.js';

/** What was done to a task, for the auditor. */
export interface Record {
  /** The newest credential that was written in codex's place, as text; null before the first. */
  credential: string | null;
}

/**
 * Does one thing at a time; resolves when it is done to the processes, not when they are well again.
 * @param onReturn called when a longer outage is over; awaited by `healed`
 */
export function createFaults(stack: ChaosStack, onReturn: (fault: Fault) => Promise<void>) {
  const healing: Promise<unknown>[] = [];
  const later = (ms: number, heal: () => unknown) => healing.push(sleep(ms).then(heal));
  const signal = (pid: number | null, name: NodeJS.Signals) => {
    if (pid === null) return;
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const freeze = (pid: number | null, ms: number) => {
    signal(pid, 'SIGSTOP');
    later(ms, () => signal(pid, 'SIGCONT'));
  };
  const cut = (way: keyof ChaosStack['ways'], ms: number) => {
    stack.ways[way].cut();
    later(ms, () => stack.ways[way].heal());
  };
  const outage = (of: Outage, ms: number): Promise<void> => {
    const heals: Promise<unknown>[] = [];
    const after = (heal: () => unknown) => void heals.push(sleep(ms).then(heal));
    const cut = (way: keyof ChaosStack['ways']) => {
      stack.ways[way].cut();
      after(() => stack.ways[way].heal());
    };
    const worker = stack.workerPid();
    if (of === 'cut-temporal' || of === 'cut-both') cut('temporal');
    if (of === 'cut-database' || of === 'cut-both') cut('database');
    if (of === 'freeze-worker') {
      signal(worker, 'SIGSTOP');
      after(() => signal(worker, 'SIGCONT'));
    }
    if (of === 'suspend-machine') heals.push(suspendMachine(stack.dataDir, ms));
    return Promise.all(heals).then(() => undefined);
  };
  return {
    /** @returns false: it cannot be done here */
    async hit(fault: Fault, taskId: string, record: Record): Promise<boolean> {
      const worker = stack.workerPid();
      const codex = await codexOf(stack.dataDir, taskId);
      if (isLong(fault)) {
        const { of, ttls } = outageOf(fault);
        healing.push(outage(of, ttls * stack.leaseTtlMs()).then(() => onReturn(fault)));
        return true;
      }
      switch (fault) {
        case 'kill-worker':
          stack.killWorker();
          break;
        case 'kill-codex':
          signal(codex, 'SIGKILL');
          break;
        case 'kill-both':
          signal(codex, 'SIGKILL');
          stack.killWorker();
          break;
        case 'stop-worker':
          signal(worker, 'SIGTERM');
          break;
        case 'freeze-worker':
          freeze(worker, SHORT_MS);
          break;
        case 'freeze-codex':
          freeze(codex, SHORT_MS);
          break;
        case 'cut-temporal':
          cut('temporal', SHORT_MS);
          break;
        case 'cut-database':
          cut('database', SHORT_MS);
          break;
        case 'disk-full':
          if (!stack.disk) return false;
          stack.disk.fill();
          later(SHORT_MS, () => stack.disk?.free());
          break;
        case 'rotate':
          if (codex !== null) record.credential = (await rotate(stack.dataDir, taskId)) ?? record.credential;
      }
      return true;
    },
    /** Waits until everything that was cut or frozen goes again. */
    healed: async () => void (await Promise.all(healing)),
  };
}

const SHORT_MS = 2_000;

const folderOf = (dataDir: string, taskId: string) => join(dataDir, 'tasks', taskId);

export const authFileOf = (dataDir: string, taskId: string): string =>
  join(folderOf(dataDir, taskId), 'home', '.codex', 'auth.json');

async function codexOf(dataDir: string, taskId: string): Promise<number | null> {
  const text = await readFile(join(folderOf(dataDir, taskId), 'process.json'), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as { pid: number }).pid;
}

/** Writes a new credential as codex does: a file beside it, renamed over it. */
async function rotate(dataDir: string, taskId: string): Promise<string | null> {
  const file = authFileOf(dataDir, taskId);
  const text = JSON.stringify({ OPENAI_API_KEY: `sk-of-no-value-${randomBytes(8).toString('hex')}` });
  try {
    await writeFile(`${file}.tmp`, text, { mode: 0o600 });
    await rename(`${file}.tmp`, file);
    return text;
  } catch (error) {
    // On a full disk codex could not have written it either.
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return null;
    throw error;
  }
}
