import { randomBytes } from 'node:crypto';
import type { DevLine } from '../../dev/dev-page.js';
import { demoScript } from '../../dev/model-server.js';
import { resultText } from '../result-text.js';
import { abortable } from '../../async/abort.js';
import { DEMO_POOL } from './demo-model.js';
import { endTask, eventsCommand, historyUrl, openDemo, tickWarnings, type DemoIo } from './open-demo.js';
import { watchDemoTask } from './watch-demo-task.js';

const PROMPT = "Run this command outside the sandbox: echo 'Hello from codex' > hello.txt && cat hello.txt";

/** Runs the demo's task against a stack and prints its steps, its result and where to look further. */
export async function showDemoTask(line: DevLine, given: NodeJS.ProcessEnv, io: DemoIo): Promise<void> {
  const { output, signal, tick, keep, closers } = io;
  const { tasks, model } = await openDemo(line, given, demoScript, io);
  const task = await tasks.start(`demo-${randomBytes(3).toString('hex')}`, {
    ...model.input,
    prompt: PROMPT,
    // A real model may well find that the sandbox will do; under `untrusted` the command asks in any case.
    approvals: { policy: model.requests === null ? 'untrusted' : 'on-request' },
    captureSeed: { pool: DEMO_POOL, metadata: { from: 'demo' } },
    limits: { turnMs: 120_000 },
  });
  closers.unshift(['task', () => endTask(task)]);
  const { runId } = await task.describe();
  tick('Task', `${task.taskId}: ${PROMPT}`, { taskId: task.taskId, runId });

  const result = await abortable(watchDemoTask(task, output, tick, signal), signal);
  tick('Result', resultText(result, output.paint), { result });
  await tickWarnings(task, tick);
  const page = historyUrl(line, task, runId);
  if (page !== null) tick('History', page, { url: page });
  const { url, command } = await eventsCommand(task);
  tick('Events', command, { url });
  if (!keep) output.note('These addresses stop in a moment; codex-task demo --keep keeps them running.');
}
