import { once } from 'node:events';
import type { Output } from '../output.js';
import { reasonOf, TaskError } from '../../errors.js';
import { startDemoStack } from './demo-stack.js';
import { showDemoTask, type Closer } from './demo-task.js';
import type { DevLine } from '../../dev/dev-page.js';

export interface DemoOptions {
  /** Leaves everything running until the signal. */
  keep: boolean;
}

export interface DemoIo {
  output: Output;
  signal: AbortSignal;
}

/** Told of each step when it is done. */
export type Tick = (step: string, text: string, facts?: object) => void;

const LIMIT_MS = 300_000;

/**
 * Shows one whole task on a stack of its own: codex asks for permission, gets it over HTTP, and the result comes.
 * @throws TaskError that says which step failed and why; everything is stopped and removed by then
 */
export async function runDemo(
  { keep }: DemoOptions,
  env: NodeJS.ProcessEnv,
  { output, signal }: DemoIo,
): Promise<void> {
  const { paint } = output;
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1_000;
  const tick: Tick = (step, text, facts = {}) =>
    output.result(
      { step, seconds: Number(seconds().toFixed(2)), ...facts },
      `${paint.green('✓')} ${paint.bold(step.padEnd(10))} ${text}`,
    );
  const closers: Closer[] = [];
  try {
    output.note('Starting Temporal, MongoDB and a worker …');
    const stack = await startDemoStack(env, (line) => output.note(paint.dim(`  ${line}`)), signal);
    closers.unshift(['stack', () => stack.close()]);
    tickStack(stack.line, tick);

    const failed = new AbortController();
    stack.broken.catch((error: unknown) => failed.abort(error));
    const late = new TaskError('Unavailable', `The demo took longer than ${LIMIT_MS / 60_000} min`);
    const timer = setTimeout(() => failed.abort(late), LIMIT_MS);
    const until = AbortSignal.any([signal, failed.signal]);
    try {
      await showDemoTask(stack.line, env, { output, signal: until, tick, keep, closers });
    } finally {
      clearTimeout(timer);
    }
    output.note(`The task took ${seconds().toFixed(1)} s with everything around it.`);
    if (keep && !until.aborted) {
      output.note('Everything stays up until Ctrl-C.');
      await once(until, 'abort');
    }
    if (failed.signal.aborted) throw failed.signal.reason;
  } finally {
    output.note('Stopping everything …');
    await closeAll(closers, output);
  }
  tick('Done', `in ${seconds().toFixed(1)} s; everything is stopped and removed`);
}

function tickStack({ temporal, mongodbUri, workerPid, listenerUrl }: DevLine, tick: Tick): void {
  const ui = temporal.uiUrl === null ? '' : `, UI ${temporal.uiUrl}`;
  tick('Temporal', `${temporal.address}${ui}`, temporal);
  tick('MongoDB', mongodbUri, { mongodbUri });
  tick('Worker', `process ${workerPid}, listener ${listenerUrl}`, { workerPid, listenerUrl });
}

/** Every one runs, whatever becomes of the ones before. */
async function closeAll(closers: readonly Closer[], output: Output): Promise<void> {
  for (const [what, close] of closers)
    await close().catch((error: unknown) => output.note(`${what}: ${reasonOf(error)}`));
}
