import { onAbort } from '../../async/abort.js';
import { TaskError } from '../../errors.js';
import { runDev } from '../../dev/dev.js';
import type { DevLine } from '../../dev/dev-page.js';

/** A stack of its own. */
export interface DemoStack {
  readonly line: DevLine;
  /** Rejects when a part of it ends by itself. */
  readonly broken: Promise<never>;
  /** Stops everything and removes the folder. */
  close(): Promise<void>;
}

/**
 * Starts what `codex-task dev --ephemeral` starts, with or without its worker. `say` gets its progress.
 * @throws TaskError when a part cannot be had
 */
export async function startDemoStack(
  env: NodeJS.ProcessEnv,
  { worker }: { worker: boolean },
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<DemoStack> {
  const stop = new AbortController();
  const release = onAbort(signal, () => stop.abort(signal.reason));
  let printed: (line: string) => void = () => undefined;
  const ready = new Promise<string>((resolve) => (printed = resolve));
  const running = runDev(
    { json: true, worker, ephemeral: true },
    // What a worker logs when all is well is no part of a demonstration.
    { CODEX_TASK_LOG: 'error', ...env },
    {
      stdout: { write: printed },
      stderr: { write: (text: string) => say(text.trimEnd()) },
      signal: stop.signal,
    },
  );
  const broken = running.then((): never => {
    signal.throwIfAborted();
    throw new TaskError('Unavailable', 'The stack has been stopped');
  });
  broken.catch(() => undefined);
  const line = JSON.parse(await Promise.race([ready, broken])) as DevLine;
  // From now on the caller ends it, after what still needs it.
  release();
  return {
    line,
    broken,
    async close() {
      stop.abort();
      await running.catch(() => undefined);
    },
  };
}
