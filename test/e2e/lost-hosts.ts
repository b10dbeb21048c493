import { randomUUID } from 'node:crypto';
import { expect, onTestFinished } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import {
  assistantMessage,
  hold,
  lastUserText,
  modelProvider,
  requestsFor,
} from '../../src/dev/model-server.js';
import { hostsOf } from '../../src/store/collections.js';
import { insertSeed } from '../../src/store/seeds.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { until } from '../support/until.js';
import { startHost, type ExtraHost } from './extra-host.js';
import { useRealStack } from './real-stack.js';
import { AUTH, type WholeStream } from './real-tasks.js';

/** Short, so that a lost host is missed soon. */
export const TTL_MS = 24_000;
export const STOP_MS = 10_000;

export const stack = useRealStack(() => ({ CODEX_TASK_LEASE_TTL: String(TTL_MS) }), ['--no-worker']);

export async function host(env: NodeJS.ProcessEnv = {}): Promise<ExtraHost> {
  const started = await startHost(stack, { CODEX_TASK_LEASE_TTL: String(TTL_MS), ...env });
  onTestFinished(() => started.close());
  return started;
}

/** A conversation with a checkpoint after each turn, on the only host there is now. */
export async function startTask(input: CodexTaskInput): Promise<{ task: TaskHandle; seedId: string }> {
  const pool = randomUUID();
  const seedId = await insertSeed(stack.store, { authJson: AUTH, pool });
  const taskId = `lost-${randomUUID()}`;
  await stack.client.start(taskId, {
    mode: 'conversation',
    credential: { pool },
    snapshot: { checkpoint: 'turn' },
    codexConfig: modelProvider(stack.model.url),
    ...input,
  });
  return { task: stack.client.handle(taskId), seedId };
}

export const expiryOf = async ({ hostId }: ExtraHost) =>
  (await hostsOf(stack.store).findOne({ _id: hostId }))!.expiresAt.getTime();

/** The instant at which its turn runs on another host. */
export const runsOn = (task: TaskHandle, other: ExtraHost) =>
  until(
    `a codex on ${other.hostId}`,
    async () => (await other.codexOf(task.taskId)) !== null && Date.now(),
    150_000,
  );

export const checkpointed = (task: TaskHandle, count: number) =>
  until(`${count} checkpoints`, async () => (await listSnapshots(stack.store, task.taskId)).length >= count);

/** Contiguous but for gaps, each named by the event after it. */
export function expectOneGap({ ids, events }: WholeStream): {
  from: number;
  to: number;
} {
  const gaps = events.filter(({ type }) => type === 'x-optio-gap') as unknown as {
    from: number;
    to: number;
  }[];
  expect(gaps).toHaveLength(1);
  const [gap] = gaps;
  const at = events.indexOf(gap as never);
  expect(ids).toEqual(ids.map((_, i) => (i < at ? i + 1 : 10_000 + i - at)));
  expect(gap).toMatchObject({ from: at + 1, to: 9_999 });
  return gap!;
}

export const agentTexts = (events: Record<string, unknown>[]) =>
  events
    .filter(({ method }) => method === 'item/completed')
    .map(({ params }) => (params as { item: { type: string; text?: string } }).item)
    .filter(({ type }) => type === 'agentMessage')
    .map(({ text }) => text);

/** A model that answers everything at once but `text`, which it first leaves without an answer. */
export function holdFirst(text: string): { release: () => void } {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let asked = 0;
  stack.play((request) => {
    const said = lastUserText(request);
    const wait = said === text && asked++ === 0 ? [hold(held)] : [];
    return [...wait, assistantMessage(`answer to ${said}`)];
  });
  onTestFinished(() => release());
  return { release };
}

export const turnAsked = (text: string) =>
  until(`the turn ${text}`, () => requestsFor(stack.model.requests, text).length > 0);

/**
 * A host with a task that has ended one turn, with its checkpoint, and is in the middle of the next, whose text is
 * `text`, until `release`.
 */
export async function inSecondTurn(text: string, env?: NodeJS.ProcessEnv) {
  const first = await host(env);
  const { release } = holdFirst(text);
  const started = await startTask({ prompt: 'first' });
  const { task } = started;
  await checkpointed(task, 1);
  await task.sendMessage(text, { messageId: 'm2' });
  await turnAsked(text);
  return { ...started, first, release };
}
