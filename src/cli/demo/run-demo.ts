import { untilAborted } from '../../async/abort.js';
import type { Output } from '../output.js';
import { reasonOf, TaskError } from '../../errors.js';
import { startDemoStack } from './demo-stack.js';
import { showDemoTask } from './demo-task.js';
import type { DevLine } from '../../dev/dev-page.js';
import type { Tick, Closer } from './demo-io.js';

export interface DemoOptions {
  /** Leaves everything running until the signal. */
  keep: boolean;
  /** Shows how a task outlives its host and its end, in place of a permission request. */
  resume: boolean;
}

export interface DemoOutput {
  output: Output;
  signal: AbortSignal;
}

const LIMIT_MS = 300_000;

/**
 * Shows a task on a stack of its own: codex asks for permission, gets it over HTTP, and the result comes. With
 * `resume` two hosts and two tasks, where codex remembers.
 * @throws TaskError that says which step failed and why; everything is stopped and removed by then
 */
export async function runDemo(
  { keep, resume }: DemoOptions,
  env: NodeJS.ProcessEnv,
  { output, signal }: DemoOutput,
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
    output.note(`Starting Temporal${resume ? ' and MongoDB' : ', MongoDB and a worker'} …`);
    const say = (line: string) => output.note(paint.dim(`  ${line}`));
    const stack = await startDemoStack(env, { worker: !resume }, say, signal);
    closers.unshift(['stack', () => stack.close()]);
    tickStack(stack.line, tick);

    const failed = new AbortController();
    stack.broken.catch((error: unknown) => failed.abort(error));
    const late = new TaskError('Unavailable', `The demo took longer than ${LIMIT_MS / 60_000} min`);
    const timer = setTimeout(() => failed.abort(late), LIMIT_MS);
    const until = AbortSignal.any([signal, failed.signal]);
    try {
      const show = resume ? (await import('./resume-demo.js')).showResume : showDemoTask;
      await show(stack.line, env, { output, signal: until, tick, keep, closers });
    } finally {
      clearTimeout(timer);
    }
    output.note(`${resume ? 'That' : 'The task'} took ${seconds().toFixed(1)} s with everything around it.`);
    if (keep && !until.aborted) {
      output.note('Everything stays up until Ctrl-C.');
      await untilAborted(until);
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
  if (workerPid !== null)
    tick('Worker', `process ${workerPid}, listener ${listenerUrl}`, { workerPid, listenerUrl });
}

/** Every step runs, even when earlier ones fail. */
async function closeAll(closers: readonly Closer[], output: Output): Promise<void> {
  for (const [what, close] of closers)
    await close().catch((error: unknown) => output.note(`${what}: ${reasonOf(error)}`));
}
