import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { within } from '../async/within.js';

export interface Guard {
  /** Called before each launch of codex and after it: from then on there is a guard as long as this process lives. */
  ensure(): void;
  /** Releases the guard, which ends when no codex of the data folder lives. Waits for that for a second at most. */
  close(): Promise<void>;
}

/** Between the end of a guard and the next one, while its worker lives. Milliseconds. */
const AGAIN_MS = 5_000;

const CLOSE_MS = 1_000;

/** What a Node program may need to run; a guard knows no server and no key. */
const ENVIRONMENT = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'LC_ALL', 'LD_LIBRARY_PATH'];

/** Ensures that a guard watches over this data folder. */
export function ensureGuard(
  dataDir: string,
  onError: (error: Error) => void,
  workerEnv: NodeJS.ProcessEnv = {},
): Guard {
  let guard: ChildProcess | null = null;
  let again: NodeJS.Timeout | null = null;
  let isClosed = false;

  function start(): void {
    if (again) clearTimeout(again);
    again = null;
    const main = fileURLToPath(new URL('../guard/main.js', import.meta.url));
    // Run from source there is no program to start; a test that needs the guard builds it.
    if (!existsSync(main)) return;
    const env = Object.fromEntries(
      ENVIRONMENT.flatMap((name) => (workerEnv[name] === undefined ? [] : [[name, workerEnv[name]]])),
    );
    let child: ChildProcess;
    try {
      // The pipe tells it of the end of this process.
      child = spawn(process.execPath, [main, dataDir], {
        detached: true,
        stdio: ['pipe', 'ignore', 'ignore'],
        cwd: dataDir,
        env,
      });
    } catch (error) {
      onError(error as Error);
      return startAgain();
    }
    guard = child;
    const ended = () => {
      if (guard !== child) return;
      guard = null;
      startAgain();
    };
    child.once('exit', ended);
    child.once('error', (error) => {
      onError(error);
      ended();
    });
    child.stdin?.on('error', () => undefined);
    child.unref();
    (child.stdin as Socket | null)?.unref();
  }
  function startAgain(): void {
    if (!isClosed) again ??= setTimeout(start, AGAIN_MS).unref();
  }

  return {
    ensure() {
      if (guard === null) start();
    },
    async close() {
      isClosed = true;
      if (again) clearTimeout(again);
      if (guard === null) return;
      const over = new AbortController();
      const ended = once(guard, 'exit', { signal: over.signal }).catch(() => undefined);
      guard.stdin?.destroy();
      await within(CLOSE_MS, ended);
      over.abort();
    },
  };
}
