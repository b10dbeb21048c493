import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Guard {
  /** Called before each launch of codex: a guard ends when it has had nothing to guard for a while. */
  ensure(): void;
  /** Ends it at once: no codex is left. */
  close(): void;
}

/** Sees to it that a guard watches over this data folder. */
export function keepGuard(dataDir: string, onError: (error: Error) => void): Guard {
  let guard: ChildProcess | null = null;
  const runs = () => guard !== null && guard.exitCode === null && guard.signalCode === null;
  return {
    ensure() {
      if (runs()) return;
      const main = fileURLToPath(new URL('../guard/main.js', import.meta.url));
      // Run from source there is no program to start; a test that needs the guard builds it.
      if (!existsSync(main)) return;
      guard = spawn(process.execPath, [main, dataDir], { detached: true, stdio: 'ignore', cwd: dataDir });
      guard.once('error', onError);
      guard.unref();
    },
    close() {
      if (runs()) guard?.kill('SIGTERM');
    },
  };
}
