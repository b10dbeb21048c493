import { spawn } from 'node:child_process';
import { onAbort } from '../async/abort.js';
import { reasonOf } from '../errors.js';
import { timeLimit } from '../async/time-limit.js';

export interface CommandOptions {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  /** Milliseconds after which the command is killed. */
  timeoutMs: number;
  cwd?: string;
}

export type CommandResult = { ok: true; stdout: string } | { ok: false; because: string };

/**
 * Runs a command to its end. A failure comes back as a short reason: the last line of what it printed.
 * @throws the signal's reason when that aborts it
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  { env, signal, timeoutMs, cwd }: CommandOptions,
): Promise<CommandResult> {
  signal.throwIfAborted();
  // A group of its own: Ctrl-C reaches the parent only, and the kill below reaches grandchildren too.
  const child = spawn(command, args, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const deadline = timeLimit(timeoutMs);
  const stop = AbortSignal.any([signal, deadline]);
  const kill = () => {
    if (child.pid !== undefined && child.exitCode === null) killGroup(child.pid);
  };
  const release = onAbort(stop, kill);
  try {
    const ended = await new Promise<{ code: number | null } | { error: unknown }>((resolve) => {
      child.once('error', (error) => resolve({ error }));
      child.once('close', (code) => resolve({ code }));
    });
    signal.throwIfAborted();
    if ('error' in ended) return { ok: false, because: reasonOf(ended.error) };
    if (deadline.aborted) return { ok: false, because: `no end after ${Math.round(timeoutMs / 1000)} s` };
    if (ended.code === 0) return { ok: true, stdout: stdout() };
    return { ok: false, because: lastLine(stderr()) || lastLine(stdout()) || `exit code ${ended.code}` };
  } finally {
    release();
  }
}

const KEPT_CHARS = 64 * 1024;

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => (text = (text + chunk).slice(-KEPT_CHARS)));
  return () => text;
}

function lastLine(text: string): string {
  return (text.trim().split('\n').at(-1) ?? '').trim().slice(0, 300);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended in the meantime.
  }
}
