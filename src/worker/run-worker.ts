import { createLog } from '../log.js';
import { runWorker as runHost } from '../worker.js';
import type { WorkerLine } from './worker-line.js';
import { readSettings, type WorkerSettings } from './worker-settings.js';

export interface RunOptions {
  /** Ends the worker as `settings.drain` says; without it, it runs until it cannot go on. */
  readonly signal?: AbortSignal | undefined;
  /** Ends what it waits for then: the tasks that still run are stopped gently. */
  readonly hurry?: AbortSignal | undefined;
  /** Called once when the worker polls and its listener is bound. */
  readonly onReady?: ((line: WorkerLine) => void) | undefined;
}

/**
 * Runs a worker of codex tasks in this process, as `codex-task worker` does: three Temporal workers and a listener. It
 * installs Temporal's `Runtime`, so a process with a Worker of its own takes `codexTaskPlugin` instead. Log lines go to
 * stderr as JSON.
 * @returns once `signal` has aborted and all is drained
 * @throws TaskError `BadInput` or `Unavailable` with what is missing and what to do; `HostSuperseded` once all is
 * stopped when another worker has taken the data folder's host over
 */
export async function runWorker(settings: WorkerSettings = {}, options: RunOptions = {}): Promise<void> {
  const { config, env } = readSettings(settings);
  await runHost(config, env, {
    signal: options.signal ?? NEVER,
    hurry: options.hurry ?? NEVER,
    ready: (line) => options.onReady?.(line),
    log: createLog(config.logLevel),
  });
}

const NEVER = new AbortController().signal;
