import { setTimeout as sleep } from 'node:timers/promises';
import { postToListener } from '../../src/client/listener.js';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskResult } from '../../src/contract/index.js';
import { TaskError, type ErrorCode } from '../../src/errors.js';
import { textOf, type Asked } from './chaos-model.js';
import { hasEnded, isSetBack, limitedTurns, messageIdOf, openRequest, type Seen } from './seen-events.js';
import type { MessageKind, Phase } from './plan.js';

/** How a task ended: with its result, or with the code and the words of its failure. */
export type TaskEnd = { result: CodexTaskResult } | { failed: ErrorCode; message: string };

/** What one client of a task did and saw. */
export interface Driven {
  /** In the order of their coming, over every cut. */
  events: Seen[];
  /** Ids of messages that the listener took. */
  accepted: string[];
  /** Decisions that the listener took. */
  allowed: string[];
  end: TaskEnd;
}

type Reached = (asked: Asked, phase: Phase) => Promise<void>;

/**
 * Talks with a task as a client of its listener: one message after another, every request allowed, at last a
 * close. What a fault breaks is tried again, as a client would, until the task has ended.
 */
export async function driveTask(
  task: TaskHandle,
  kinds: readonly MessageKind[],
  reached: Reached,
  signal: AbortSignal,
): Promise<Driven> {
  const talk = { task, events: [] as Seen[], accepted: [] as string[], allowed: [] as string[] };
  const over = new AbortController();
  const late = () => new Error(`${String(signal.reason)}; its client ${saw(talk)}`, { cause: signal.reason });
  const ended = endOf(task, signal).finally(() => over.abort());
  ended.catch(() => undefined);
  const news = createNews();
  const reading = (async () => {
    for await (const event of task.events({ signal })) {
      talk.events.push(event);
      news.tell();
    }
  })();
  reading.catch(() => undefined);
  try {
    await converse(talk, kinds, reached, news.next, AbortSignal.any([signal, over.signal]));
  } catch (error) {
    if (signal.aborted) throw late();
    // A client may hear of the end by a refusal before it hears it from the workflow.
    const isOver = await Promise.race([ended.then(() => true), sleep(END_MS, false, { ref: false })]);
    if (!isOver) throw error;
  }
  const end = await Promise.race([ended, whenAborted(signal)]);
  if (!end) throw late();
  await reading;
  const { events, accepted, allowed } = talk;
  return { events, accepted, allowed, end };
}

const END_MS = 60_000;
/** What set a message back, as a full disk does, takes its time to pass. */
const SET_BACK_MS = 500;

/** What a client has when its task is not over in time. */
function saw({ events, accepted, allowed }: Talk): string {
  const last = events.slice(-3).map(({ id, event }) => `${id} ${JSON.stringify(event).slice(0, 300)}`);
  return `had ${accepted.join(' ')} accepted, allowed ${allowed.join(' ')}, and saw last: ${last.join(' | ')}`;
}

interface Talk {
  task: TaskHandle;
  events: Seen[];
  accepted: string[];
  allowed: string[];
}

async function converse(
  talk: Talk,
  kinds: readonly MessageKind[],
  reached: Reached,
  news: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { task, events, accepted, allowed } = talk;
  const gone = whenAborted(signal);
  for (const [message, kind] of kinds.entries()) {
    const asked = { taskId: task.taskId, message, kind };
    let messageId = '';
    let limited = limitedTurns(events);
    for (let attempt = 0; !hasEnded(events, messageId); attempt++) {
      messageId = messageIdOf(asked, attempt);
      const body = { messageId, text: textOf(asked) };
      const sent = again(signal, async () => postToListener(await task.listener(), 'send', body));
      const [id] = await Promise.all([sent.then(() => messageId), reached(asked, 'sending')]);
      accepted.push(id);
      while (!hasEnded(events, messageId) && !isSetBack(events, messageId)) {
        signal.throwIfAborted();
        if (limitedTurns(events) > limited) {
          limited = limitedTurns(events);
          await reached(asked, 'limited');
        }
        const requestId = openRequest(events, allowed);
        if (requestId !== undefined) await decide(talk, asked, requestId, reached, signal);
        else await Promise.race([news(), gone]);
      }
      if (isSetBack(events, messageId)) await sleep(SET_BACK_MS, undefined, { signal });
    }
    await reached(asked, 'idle');
  }
  const last = { taskId: task.taskId, message: kinds.length - 1, kind: kinds.at(-1) ?? '' };
  await Promise.all([again(signal, () => task.close()), reached(last, 'closing')]);
}

async function decide(
  { task, allowed }: Talk,
  asked: Asked,
  requestId: string,
  reached: Reached,
  signal: AbortSignal,
): Promise<void> {
  await reached(asked, 'approval-open');
  const decided = again(signal, async () => {
    try {
      const body = { request_id: requestId, behavior: 'allow' };
      await postToListener(await task.listener(), 'permission', body);
    } catch (error) {
      // An answer that a fault swallowed, or a request that died with its codex.
      if (!(error instanceof TaskError && isOver(error))) throw error;
    }
  });
  await Promise.all([decided, reached(asked, 'deciding')]);
  allowed.push(requestId);
}

const isOver = (error: TaskError): boolean => /no such open request/.test(error.message);

/** The end as Temporal has it, however often it has to be asked. */
async function endOf(task: TaskHandle, signal: AbortSignal): Promise<TaskEnd> {
  for (;;) {
    try {
      return { result: await task.result() };
    } catch (error) {
      if (!(error instanceof TaskError)) throw error;
      const state = await task.describe().then(
        ({ status }) => status.name,
        () => 'RUNNING',
      );
      if (state !== 'RUNNING') return { failed: error.code, message: error.message };
      await sleep(100, undefined, { signal });
    }
  }
}

/** Tries until it works: a client does not know why it failed, only that it has to ask again. */
async function again<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await run();
    } catch (error) {
      const passes = error instanceof TaskError && PASSING.has(error.code);
      if (!passes) throw error;
      await sleep(50, undefined, { signal });
    }
  }
}

const PASSING = new Set(['Unavailable', 'SessionNotHere', 'HostLost']);

/** `next` resolves when something is told after it was asked for. */
function createNews() {
  let wake: () => void = () => undefined;
  let coming = new Promise<void>((resolve) => (wake = resolve));
  return {
    next: () => coming,
    tell() {
      wake();
      coming = new Promise((resolve) => (wake = resolve));
    },
  };
}

const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
