import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { pause } from '../../async/pause.js';
import type { TaskHandle } from '../../client/index.js';
import { basicAuthorization } from '../../client/listener.js';
import type { DevLine } from '../../dev/dev-page.js';
import { startFleetHost, type FleetHost } from '../../dev/fleet-host.js';
import { RECALL_PROMPT, rememberPrompt, resumeScript } from '../../dev/resume-script.js';
import { TaskError } from '../../errors.js';
import { objectIdOf, seedsOf } from '../../store/collections.js';
import { listSnapshots } from '../../store/snapshots.js';
import { resultText } from '../result-text.js';
import { abortable } from '../../async/abort.js';
import { followDemoTask } from './follow-demo-task.js';
import {
  endTask,
  eventsCommand,
  historyUrl,
  openDemo,
  tickWarnings,
  type Demo,
  type DemoIo,
} from './open-demo.js';
import { describeMemory, memoryOf } from './resume-proof.js';
import { timeLimit } from '../../async/time-limit.js';

/** How long the right of a lost host holds without renewal, so long must be waited. Milliseconds; 60 s by default. */
export const LEASE_TTL_MS = 15_000;

const CHECKPOINT_MS = 30_000;
const DOWNLOAD_MS = 10_000;
const PROBE_MS = 250;

/**
 * Shows that a task outlives its host, and that a new task continues where an ended one stopped: codex is told a word
 * and writes a file, worker and host are killed, another host takes over, and codex knows the word.
 */
export async function showResume(line: DevLine, given: NodeJS.ProcessEnv, io: DemoIo): Promise<void> {
  const { output, signal, tick, keep, closers } = io;
  const demo = await openDemo(line, given, resumeScript, io);
  const { tasks, model } = demo;
  const startHost = async (name: string): Promise<FleetHost> => {
    const host = await startFleetHost({ name, parent: line.dataDir, env: hostEnv(demo), signal });
    closers.unshift([name, () => host.close()]);
    const { workerPid, hostId, dataDir } = host;
    tick('Host', `${name}: worker ${workerPid}, data in ${dataDir}`, { name, workerPid, hostId, dataDir });
    return host;
  };
  const input = { ...model.input, approvals: { policy: 'never' }, limits: { turnMs: 120_000 } } as const;
  const start = async (taskId: string, more: object): Promise<{ task: TaskHandle; runId: string }> => {
    const task = await tasks.start(taskId, { ...input, ...more });
    closers.unshift(['task', () => endTask(task)]);
    return { task, runId: (await task.describe()).runId };
  };

  const word = `heron-${randomBytes(2).toString('hex')}`;
  const prompt = rememberPrompt(word);
  const first = await startHost('host-a');
  const { task, runId } = await start(`demo-${randomBytes(3).toString('hex')}`, {
    prompt,
    mode: 'conversation',
    snapshot: { checkpoint: 'turn' },
  });
  const { taskId } = task;
  tick('Task', `${taskId}: ${prompt}`, { taskId, runId, word });
  const followed = followDemoTask(task, output, signal);
  const within = <T>(promise: Promise<T>) => abortable(promise, signal);
  await within(followed.turn(1));
  const checkpoint = await untilCheckpoint(demo, taskId, signal);
  tick('Checkpoint', `${checkpoint} has workdir, thread, events and messages so far`, { checkpoint });

  const { killed } = await first.burnDown();
  const dead = `host-a: SIGKILL to worker, codex and guard (${killed.join(', ')}), its data folder is removed`;
  tick('Killed', dead, { killed, dataDir: first.dataDir });
  await task.sendMessage(RECALL_PROMPT, { messageId: 'recall' });
  tick('Message', `sent while no host has the task: ${RECALL_PROMPT}`, { messageId: 'recall' });
  const ttl = Number(hostEnv(demo)['CODEX_TASK_LEASE_TTL']) / 1_000;
  output.note(
    `Waiting until the lease of host-a expires, ${ttl} s after its last renewal (CODEX_TASK_LEASE_TTL): until then it could still run the turn.`,
  );
  const second = await startHost('host-b');
  // Before the host that does its end is stopped.
  closers.unshift(['task', () => endTask(task)]);
  const told = tellStates(task, (text) => output.note(output.paint.dim(`  ${text}`)), signal);
  let answer: string;
  try {
    answer = await within(followed.turn(2));
  } finally {
    await told.stop();
  }
  const { host, seedId, threadId } = await task.status();
  if (host !== second.hostId)
    throw new TaskError('CodexFailed', `Task ${taskId} is on ${host}, not on host-b`);
  const leaseEpoch = await epochOf(demo, seedId);
  const epoch = leaseEpoch === null ? '' : `, its seed with lease epoch ${leaseEpoch}`;
  tick('Taken over', `by host-b, thread ${threadId}${epoch}`, { hostId: host, threadId, leaseEpoch });
  await prove(demo, task, answer, word, io);
  const file = await download(task, 'word.txt');
  if (file.trim() !== word) throw new TaskError('CodexFailed', `word.txt holds ${JSON.stringify(file)}`);
  tick('File', `word.txt is on host-b: ${word}`, { path: 'word.txt', text: file });
  await task.close();
  const result = await within(task.result());
  await within(followed.ended);
  tick('Closed', resultText(result, output.paint), { result });
  await tickWarnings(task, tick);

  const again = await start(`${taskId}-again`, { prompt: RECALL_PROMPT, resume: { snapshotKey: taskId } });
  const from = `resumes from snapshot ${result.snapshotId} of ${taskId}, with events of its own`;
  tick('New task', `${again.task.taskId}: ${from}`, { taskId: again.task.taskId, runId: again.runId });
  const anew = followDemoTask(again.task, output, signal);
  const answered = await within(anew.turn(1));
  const resumed = await within(again.task.result());
  await within(anew.ended);
  await prove(demo, again.task, answered, word, io);
  const events = `${anew.recalled()} of its events are from before, marked x-optio-history`;
  tick('Result', `${resultText(resumed, output.paint)}\n${events}`, { result: resumed });
  await tickWarnings(again.task, tick);

  for (const [each, run] of [
    [task, runId],
    [again.task, again.runId],
  ] as const) {
    const page = historyUrl(line, each, run);
    if (page !== null) tick('History', page, { url: page });
    const { url, command } = await eventsCommand(each);
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

/** The id of the task's newest checkpoint, waited for. */
async function untilCheckpoint({ store }: Demo, taskId: string, signal: AbortSignal): Promise<string> {
  const deadline = Date.now() + CHECKPOINT_MS;
  for (;;) {
    const [newest] = await listSnapshots(store, taskId);
    if (newest) return newest.id;
    if (Date.now() > deadline)
      throw new TaskError('Unavailable', `Task ${taskId} has no checkpoint after ${CHECKPOINT_MS / 1_000} s`);
    await delay(PROBE_MS, undefined, { signal });
  }
}

async function epochOf({ store }: Demo, seedId: string | null): Promise<number | null> {
  const _id = objectIdOf(seedId ?? '');
  const seed = _id && (await seedsOf(store).findOne({ _id }));
  return seed?.leaseEpoch ?? null;
}

async function download(task: TaskHandle, path: string): Promise<string> {
  const { url, password } = await task.listener();
  const response = await fetch(`${url}/download?path=${encodeURIComponent(path)}`, {
    headers: { authorization: basicAuthorization(password) },
    signal: timeLimit(DOWNLOAD_MS),
  });
  if (response.ok) return response.text();
  throw new TaskError('NotFound', `${url} has no ${path}: it answered ${response.status}`);
}

/** Says each state that the task comes to, until stopped. */
function tellStates(
  task: TaskHandle,
  say: (text: string) => void,
  signal: AbortSignal,
): { stop(): Promise<void> } {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const tell = async () => {
    for (let last = ''; !either.aborted;) {
      // Without a worker nobody knows.
      const state = await task.status().then(
        (status) => status.state,
        () => last,
      );
      if (state !== last && !either.aborted) say(`task ${task.taskId}: ${state}`);
      last = state;
      await pause(PROBE_MS, either);
    }
  };
  const telling = tell();
  return {
    async stop() {
      over.abort();
      await telling;
    },
  };
}

/** @throws TaskError when codex does not remember, or could not have known what it says */
async function prove(
  { model }: Demo,
  task: TaskHandle,
  answer: string,
  word: string,
  { tick, output }: DemoIo,
): Promise<void> {
  const memory = memoryOf(model.requests, word);
  if (!answer.includes(word) || memory === null)
    throw new TaskError('CodexFailed', `Task ${task.taskId} does not know the word ${word}: ${answer}`);
  tick('Remembers', `${answer}\n${describeMemory(memory, output.paint)}`, { word, answer, given: memory });
}
