import { randomBytes } from 'node:crypto';
import type { TaskHandle } from '../../client/index.js';
import type { CodexTaskResult } from '../../contract/index.js';
import type { DevLine } from '../../dev/dev-page.js';
import { startFleetHost, type FleetHost } from '../../dev/fleet-host.js';
import { RECALL_PROMPT, rememberPrompt, resumeScript } from '../../dev/resume-script.js';
import { TaskError } from '../../errors.js';
import { resultText } from '../result-text.js';
import { abortable } from '../../async/abort.js';
import { followDemoTask, type FollowedTask } from './follow-demo-task.js';
import {
  endTask,
  eventsCommand,
  historyUrl,
  openDemo,
  tickWarnings,
  type Demo,
  type DemoIo,
} from './open-demo.js';
import { download, epochOf, tellStates, untilCheckpoint } from './look-at-task.js';
import { describeMemory, memoryOf } from './resume-proof.js';

/** How long the right of a lost host holds without renewal, so long must be waited. Milliseconds; 60 s by default. */
export const LEASE_TTL_MS = 15_000;

/** What is shown, and where. */
interface Show {
  readonly line: DevLine;
  readonly demo: Demo;
  readonly io: DemoIo;
  /** What codex is told and has to know later. */
  readonly word: string;
}

/** A task of the show, the run that it began with, and what its agent says. */
interface ShownTask {
  readonly task: TaskHandle;
  readonly runId: string;
  readonly followed: FollowedTask;
}

/**
 * Shows that a task outlives its host, and that a new task continues where an ended one stopped: codex is told a word
 * and writes a file, worker and host are killed, another host takes over, and codex knows the word.
 */
export async function showResume(line: DevLine, given: NodeJS.ProcessEnv, io: DemoIo): Promise<void> {
  const demo = await openDemo(line, given, resumeScript, io);
  const show: Show = { line, demo, io, word: `heron-${randomBytes(2).toString('hex')}` };
  const lost = await startHost(show, 'host-a');
  const shown = await tellWord(show);
  await loseHost(show, shown.task, lost);
  await takeOver(show, shown);
  const result = await endShown(show, shown);
  const again = await startAgain(show, shown.task, result);
  await tellAddresses(show, [shown, again]);
}

async function startHost({ line, demo, io }: Show, name: string): Promise<FleetHost> {
  const { signal, tick, closers } = io;
  const host = await startFleetHost({ name, parent: line.dataDir, env: hostEnv(demo), signal });
  closers.unshift([name, () => host.close()]);
  const { workerPid, hostId, dataDir } = host;
  tick('Host', `${name}: worker ${workerPid}, data in ${dataDir}`, { name, workerPid, hostId, dataDir });
  return host;
}

async function startTask(
  { demo, io }: Show,
  taskId: string,
  more: object,
): Promise<Omit<ShownTask, 'followed'>> {
  const input = { ...demo.model.input, approvals: { policy: 'never' }, limits: { turnMs: 120_000 } } as const;
  const task = await demo.tasks.start(taskId, { ...input, ...more });
  io.closers.unshift(['task', () => endTask(task)]);
  return { task, runId: (await task.describe()).runId };
}

/** Starts a task whose codex is told the word, and waits until a checkpoint has it. */
async function tellWord(show: Show): Promise<ShownTask> {
  const { demo, word } = show;
  const { tick, output, signal } = show.io;
  const prompt = rememberPrompt(word);
  const { task, runId } = await startTask(show, `demo-${randomBytes(3).toString('hex')}`, {
    prompt,
    mode: 'conversation',
    snapshot: { checkpoint: 'turn' },
  });
  const { taskId } = task;
  tick('Task', `${taskId}: ${prompt}`, { taskId, runId, word });
  const followed = followDemoTask(task, output, signal);
  await abortable(followed.turn(1), signal);
  const checkpoint = await untilCheckpoint(demo, taskId, signal);
  tick('Checkpoint', `${checkpoint} has workdir, thread, events and messages so far`, { checkpoint });
  return { task, runId, followed };
}

/** Kills the host with all it has, and asks the task for the word while none has it. */
async function loseHost({ demo, io }: Show, task: TaskHandle, host: FleetHost): Promise<void> {
  const { tick, output } = io;
  const { killed } = await host.burnDown();
  const dead = `host-a: SIGKILL to worker, codex and guard (${killed.join(', ')}), its data folder is removed`;
  tick('Killed', dead, { killed, dataDir: host.dataDir });
  await task.sendMessage(RECALL_PROMPT, { messageId: 'recall' });
  tick('Message', `sent while no host has the task: ${RECALL_PROMPT}`, { messageId: 'recall' });
  const ttl = Number(hostEnv(demo)['CODEX_TASK_LEASE_TTL']) / 1_000;
  output.note(
    `Waiting until the lease of host-a expires, ${ttl} s after its last renewal (CODEX_TASK_LEASE_TTL): until then it could still run the turn.`,
  );
}

/** Starts another host, which takes the task over. @throws TaskError when codex or the workdir lacks the word there */
async function takeOver(show: Show, { task, followed }: ShownTask): Promise<void> {
  const { demo, word } = show;
  const { tick, output, signal, closers } = show.io;
  const second = await startHost(show, 'host-b');
  // Before the host that does its end is stopped.
  closers.unshift(['task', () => endTask(task)]);
  const told = tellStates(task, (text) => output.note(output.paint.dim(`  ${text}`)), signal);
  let answer: string;
  try {
    answer = await abortable(followed.turn(2), signal);
  } finally {
    await told.stop();
  }
  const { host, seedId, threadId } = await task.status();
  if (host !== second.hostId)
    throw new TaskError('CodexFailed', `Task ${task.taskId} is on ${host}, not on host-b`);
  const leaseEpoch = await epochOf(demo, seedId);
  const epoch = leaseEpoch === null ? '' : `, its seed with lease epoch ${leaseEpoch}`;
  tick('Taken over', `by host-b, thread ${threadId}${epoch}`, { hostId: host, threadId, leaseEpoch });
  await prove(show, task, answer);
  const file = await download(task, 'word.txt');
  if (file.trim() !== word) throw new TaskError('CodexFailed', `word.txt holds ${JSON.stringify(file)}`);
  tick('File', `word.txt is on host-b: ${word}`, { path: 'word.txt', text: file });
}

async function endShown({ io }: Show, { task, followed }: ShownTask): Promise<CodexTaskResult> {
  const { tick, output, signal } = io;
  await task.close();
  const result = await abortable(task.result(), signal);
  await abortable(followed.ended, signal);
  tick('Closed', resultText(result, output.paint), { result });
  await tickWarnings(task, tick);
  return result;
}

/** Starts a new task from the snapshot of the one that ended. @throws TaskError when its codex lacks the word */
async function startAgain(show: Show, { taskId }: TaskHandle, ended: CodexTaskResult): Promise<ShownTask> {
  const { tick, output, signal } = show.io;
  const { task, runId } = await startTask(show, `${taskId}-again`, {
    prompt: RECALL_PROMPT,
    resume: { snapshotKey: taskId },
  });
  const from = `resumes from snapshot ${ended.snapshotId} of ${taskId}, with events of its own`;
  tick('New task', `${task.taskId}: ${from}`, { taskId: task.taskId, runId });
  const followed = followDemoTask(task, output, signal);
  const answer = await abortable(followed.turn(1), signal);
  const result = await abortable(task.result(), signal);
  await abortable(followed.ended, signal);
  await prove(show, task, answer);
  const events = `${followed.recalled()} of its events are from before, marked x-optio-history`;
  tick('Result', `${resultText(result, output.paint)}\n${events}`, { result });
  await tickWarnings(task, tick);
  return { task, runId, followed };
}

/** Where the history and the events of these tasks are seen. */
async function tellAddresses({ line, io }: Show, shown: readonly ShownTask[]): Promise<void> {
  const { tick, output, keep } = io;
  for (const { task, runId } of shown) {
    const page = historyUrl(line, task, runId);
    if (page !== null) tick('History', page, { url: page });
    const { url, command } = await eventsCommand(task);
    tick('Events', command, { url });
  }
  if (!keep)
    output.note('These addresses stop in a moment; codex-task demo --resume --keep keeps them running.');
}

/** A host stops when it is asked to, and is missed soon. */
const hostEnv = ({ env, listenerSecret }: Demo): NodeJS.ProcessEnv => ({
  CODEX_TASK_LEASE_TTL: String(LEASE_TTL_MS),
  CODEX_TASK_LOG: 'error',
  ...env,
  CODEX_TASK_LISTENER_SECRET: listenerSecret,
  CODEX_TASK_DRAIN: 'stop',
});

/** @throws TaskError when codex does not remember, or could not have known what it says */
async function prove({ demo, io, word }: Show, task: TaskHandle, answer: string): Promise<void> {
  const { tick, output } = io;
  const memory = memoryOf(demo.model.requests, word);
  if (!answer.includes(word) || memory === null)
    throw new TaskError('CodexFailed', `Task ${task.taskId} does not know the word ${word}: ${answer}`);
  tick('Remembers', `${answer}\n${describeMemory(memory, output.paint)}`, { word, answer, given: memory });
}
