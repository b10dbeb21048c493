import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './plan.js';
import type { ChaosStack } from './chaos-stack.js';

/** What was done to a task and its host, for the auditor. */
export interface Record {
  /** The newest credential that codex wrote, as text; null before the first rotation. */
  credential: string | null;
}

/** Does one thing at a time; resolves when it is done to the processes, not when they are well again. */
export function createFaults(stack: ChaosStack) {
  const healing: Promise<unknown>[] = [];
  const later = (ms: number, heal: () => void) => healing.push(sleep(ms).then(heal));
  const signal = (pid: number | null, name: NodeJS.Signals) => {
    if (pid === null) return;
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  return {
    async hit(fault: Fault, taskId: string, record: Record): Promise<void> {
      const worker = stack.workerPid();
      const codex = await codexOf(stack.dataDir, taskId);
      switch (fault) {
        case 'kill-worker':
          return signal(worker, 'SIGKILL');
        case 'kill-codex':
          return signal(codex, 'SIGKILL');
        case 'kill-both':
          signal(codex, 'SIGKILL');
          return signal(worker, 'SIGKILL');
        case 'stop-worker':
          return signal(worker, 'SIGTERM');
        case 'freeze-worker':
          signal(worker, 'SIGSTOP');
          return void later(FREEZE_MS, () => signal(worker, 'SIGCONT'));
        case 'freeze-codex':
          signal(codex, 'SIGSTOP');
          return void later(FREEZE_MS, () => signal(codex, 'SIGCONT'));
        case 'cut-temporal':
          stack.ways.temporal.cut();
          return void later(CUT_MS, () => stack.ways.temporal.heal());
        case 'cut-database':
          stack.ways.database.cut();
          return void later(CUT_MS, () => stack.ways.database.heal());
        case 'rotate':
          if (codex !== null) record.credential = await rotate(stack.dataDir, taskId);
      }
    },
    /** Waits until everything that was cut or frozen goes again. */
    healed: async () => void (await Promise.all(healing)),
  };
}

const FREEZE_MS = 2_000;
const CUT_MS = 2_000;

const folderOf = (dataDir: string, taskId: string) => join(dataDir, 'tasks', taskId);

async function codexOf(dataDir: string, taskId: string): Promise<number | null> {
  const text = await readFile(join(folderOf(dataDir, taskId), 'process.json'), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as { pid: number }).pid;
}

/** Writes a new credential as codex does: a file beside it, renamed over it. */
async function rotate(dataDir: string, taskId: string): Promise<string> {
  const file = join(folderOf(dataDir, taskId), 'home', '.codex', 'auth.json');
  const text = JSON.stringify({ OPENAI_API_KEY: `sk-of-no-value-${randomBytes(8).toString('hex')}` });
  await writeFile(`${file}.tmp`, text, { mode: 0o600 });
  await rename(`${file}.tmp`, file);
  return text;
}
