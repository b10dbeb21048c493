import { setTimeout as sleep } from 'node:timers/promises';
import { postToListener, type TaskListener } from '../../src/client/listener.js';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskResult } from '../../src/contract.js';
import { TaskError } from '../../src/errors.js';
import { textOf, type Asked } from './chaos-model.js';
import type { MessageKind, Phase } from './plan.js';

export interface Seen {
  id: number;
  event: Record<string, unknown>;
}

/** What one client of a task did and saw. */
export interface Driven {
  /** In the order of their coming, over every cut. */
  events: Seen[];
  /** Decisions that the listener took. */
  allowed: string[];
  result: CodexTaskResult;
}

/**
 * Talks with a task as a client of its listener: one message after another, every request allowed, at last a
 * close. What a fault breaks is tried again, as a client would.
 */
export async function driveTask(
  task: TaskHandle,
  kinds: readonly MessageKind[],
  reached: (asked: Asked, phase: Phase) => Promise<void>,
  signal: AbortSignal,
): Promise<Driven> {
  const events: Seen[] = [];
  const allowed: string[] = [];
  const reading = (async () => {
    for await (const event of task.events({ signal })) events.push(event);
  })();
  reading.catch(() => undefined);
  for (const [message, kind] of kinds.entries()) {
    const asked = { taskId: task.taskId, message, kind };
    const messageId = messageIdOf(asked);
    const sent = again(signal, async () =>
      postToListener(await whereIs(task), 'send', { messageId, text: textOf(asked) }),
    );
    await Promise.all([sent, reached(asked, 'sending')]);
    while (!hasEnded(events, messageId)) {
      signal.throwIfAborted();
      const requestId = openRequest(events, allowed);
      if (requestId === undefined) await sleep(20);
      else await decide(task, asked, requestId, allowed, reached, signal);
    }
    await reached(asked, 'idle');
  }
  const last = { taskId: task.taskId, message: kinds.length - 1, kind: kinds.at(-1) ?? '' };
  await Promise.all([again(signal, () => task.close()), reached(last, 'closing')]);
  const result = await again(signal, () => task.result());
  await reading;
  return { events, allowed, result };
}

export const messageIdOf = ({ taskId, message }: Pick<Asked, 'taskId' | 'message'>): string =>
  `${taskId}-m${message}`;

async function decide(
  task: TaskHandle,
  asked: Asked,
  requestId: string,
  allowed: string[],
  reached: (asked: Asked, phase: Phase) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await reached(asked, 'approval-open');
  const decided = again(signal, async () => {
    try {
      await postToListener(await whereIs(task), 'permission', { request_id: requestId, behavior: 'allow' });
    } catch (error) {
      // An answer that a fault swallowed, or a request that died with its codex.
      if (!(error instanceof TaskError && isOver(error))) throw error;
    }
  });
  await Promise.all([decided, reached(asked, 'deciding')]);
  allowed.push(requestId);
}

const isOver = (error: TaskError): boolean => /no such open request/.test(error.message);

const whereIs = (task: TaskHandle): Promise<TaskListener> => task.listener();

/** The newest request that is open by the events, and not decided yet by this client. */
function openRequest(events: readonly Seen[], allowed: readonly string[]): string | undefined {
  const answered = new Set(
    events
      .filter(({ event }) => event['type'] === 'x-optio-permission-answered')
      .map(({ event }) => event['request_id']),
  );
  return events
    .filter(({ event }) => event['method'] === 'item/commandExecution/requestApproval')
    .map(({ event }) => event['id'] as string)
    .find((id) => !answered.has(id) && !allowed.includes(id));
}

/** Turns that completed with this message in them. */
export function turnsOf(events: readonly Seen[], messageId: string): string[] {
  const withMessage = new Set(
    events
      .filter(({ event }) => event['method'] === 'item/completed' || event['method'] === 'item/started')
      .map(({ event }) => event['params'] as { turnId: string; item: { type: string; clientId?: string } })
      .filter(({ item }) => item.type === 'userMessage' && item.clientId === messageId)
      .map(({ turnId }) => turnId),
  );
  return events
    .filter(({ event }) => event['method'] === 'turn/completed')
    .map(({ event }) => (event['params'] as { turn: { id: string; status: string } }).turn)
    .filter(({ id, status }) => status === 'completed' && withMessage.has(id))
    .map(({ id }) => id);
}

const hasEnded = (events: readonly Seen[], messageId: string): boolean =>
  turnsOf(events, messageId).length > 0;

/** Tries until it works: a client does not know why it failed, only that it has to ask again. */
async function again<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      const passes = error instanceof TaskError && PASSING.has(error.code);
      if (!passes) throw error;
      await sleep(100, undefined, { signal });
    }
  }
}

const PASSING = new Set(['Unavailable', 'SessionNotHere', 'HostLost']);
