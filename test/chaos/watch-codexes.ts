import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, listProcesses, type ProcessEntry } from '../../src/process/process-identity.js';

const LOOK_MS = 100;

/**
 * Looks at the processes of this machine, and at nothing that the worker says, for two app-servers of one task at a
 * time: they would use one seed.
 */
export function watchCodexes(dataDir: string, ids: readonly string[]): { close(): Promise<string[]> } {
  const twice = new Map<string, string>();
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const found = await appServersNow();
      for (const id of ids) {
        const socket = `unix://${join(dataDir, 'tasks', id, 'codex.sock')}`;
        const own = found.filter(({ words }) => words.includes(socket));
        // What an app-server is just starting has its command line until it becomes another program.
        const first = own.filter(({ parent }) => !own.some(({ pid }) => pid === parent));
        if (first.length < 2) continue;
        // A look takes its time: one that was seen first may have ended before the other began.
        const alive = await Promise.all(first.map(isAlive));
        if (!alive.includes(false))
          twice.set(id, `${id}: two app-servers at a time: ${first.map(({ pid }) => pid).join(', ')}`);
      }
      await sleep(LOOK_MS);
    }
  })();
  return {
    async close() {
      isOver = true;
      await watching;
      return [...twice.values()];
    },
  };
}

/** App-servers themselves, not the sandboxes that name their folders. */
async function appServersNow(): Promise<(ProcessEntry & { words: string[] })[]> {
  const all = await Promise.all(
    (await listProcesses()).map(async (each) => {
      const text = await readFile(`/proc/${each.pid}/cmdline`, 'utf8').catch(() => '');
      return { ...each, words: text.split('\0') };
    }),
  );
  return all.filter(({ words }) => words[1] === 'app-server');
}
