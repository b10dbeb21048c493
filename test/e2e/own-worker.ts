import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { spawnCli } from '../cli/run-cli.js';
import type { RealStack } from './real-stack.js';

export interface OwnWorker {
  readonly pid: number;
  /** Sends a signal. */
  kill(signal: 'SIGKILL' | 'SIGTERM'): void;
  /** Resolves with the exit code; null: a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Its log so far. */
  said(): string;
}

/** A `codex-task worker` on the data folder of a stack that has none, once it is ready. */
export async function startOwnWorker(stack: RealStack, env: NodeJS.ProcessEnv): Promise<OwnWorker> {
  const child = spawnCli(stack.folder, ['worker', '--json'], { ...process.env, ...stack.line.env, ...env });
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log += text.toString()));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const first = once(createInterface(child.stdout), 'line');
  await Promise.race([first, exited.then(() => Promise.reject(new Error(`the worker ended: ${log}`)))]);
  return {
    pid: child.pid!,
    kill: (signal) => void child.kill(signal),
    exited,
    said: () => log,
  };
}
