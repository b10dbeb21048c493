import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

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
      const commands = await commandsNow();
      for (const id of ids) {
        const socket = `unix://${join(dataDir, 'tasks', id, 'codex.sock')}`;
        const pids = commands.filter(({ words }) => words.includes(socket)).map(({ pid }) => pid);
        if (pids.length > 1) twice.set(id, `${id}: two app-servers at a time: ${pids.join(', ')}`);
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

/** Of app-servers themselves, not of the sandboxes that name their folders. */
async function commandsNow(): Promise<{ pid: string; words: string[] }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return { pid, words: text.split('\0') };
    }),
  );
  return all.filter(({ words }) => words[1] === 'app-server');
}
