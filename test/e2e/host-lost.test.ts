import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import { postToListener } from '../../src/client/listener.js';
import type { CodexTaskInput } from '../../src/contract.js';
import {
  assistantMessage,
  commandCall,
  hold,
  lastUserText,
  modelProvider,
  outputsOfTurn,
  requestsFor,
} from '../../src/dev/model-server.js';
import { taskFolder } from '../../src/session/task-folder.js';
import { hostsOf } from '../../src/store/collections.js';
import { insertSeed } from '../../src/store/seeds.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { partsOf } from '../../src/store/task-state.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { seedOf } from '../store/support.js';
import { startHost, type ExtraHost } from './extra-host.js';
import { startRealStack, type RealStack } from './real-stack.js';

/** Short, so that a lost host is missed soon. */
const TTL_MS = 24_000;
const STOP_MS = 10_000;

let stack: RealStack;

beforeAll(async () => {
  stack = await startRealStack({ CODEX_TASK_LEASE_TTL: String(TTL_MS) }, ['--no-worker']);
}, 180_000);
afterAll(() => stack.close());

async function host(env: NodeJS.ProcessEnv = {}): Promise<ExtraHost> {
  const started = await startHost(stack, { CODEX_TASK_LEASE_TTL: String(TTL_MS), ...env });
  onTestFinished(() => started.close());
  return started;
}

const AUTH = Buffer.from(JSON.stringify({ OPENAI_API_KEY: 'sk-test-of-no-value' }));

/** A conversation with a checkpoint after each turn, on the only host there is now. */
async function startTask(input: CodexTaskInput): Promise<{ task: TaskHandle; seedId: string }> {
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

const expiryOf = async ({ hostId }: ExtraHost) =>
  (await hostsOf(stack.store).findOne({ _id: hostId }))!.expiresAt.getTime();

/** The instant at which its turn runs on another host. */
const runsOn = (task: TaskHandle, other: ExtraHost) =>
  until(
    `a codex on ${other.hostId}`,
    async () => (await other.codexOf(task.taskId)) !== null && Date.now(),
    90_000,
  );

const checkpointed = (task: TaskHandle, count: number) =>
  until(
    `${count} checkpoints`,
    async () => (await listSnapshots(stack.store, task.taskId)).length >= count,
    30_000,
  );

async function wholeStream(task: TaskHandle): Promise<{ ids: number[]; events: Record<string, unknown>[] }> {
  const ids: number[] = [];
  const events: Record<string, unknown>[] = [];
  for await (const { id, event } of task.events()) {
    ids.push(id);
    events.push(event);
  }
  return { ids, events };
}

/** Contiguous but for gaps, each named by the event after it. */
function expectOneGap({ ids, events }: Awaited<ReturnType<typeof wholeStream>>): {
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

const agentTexts = (events: Record<string, unknown>[]) =>
  events
    .filter(({ method }) => method === 'item/completed')
    .map(({ params }) => (params as { item: { type: string; text?: string } }).item)
    .filter(({ type }) => type === 'agentMessage')
    .map(({ text }) => text);

/** A model that answers everything at once but `text`, which it first leaves without an answer. */
function holdFirst(text: string): { release: () => void } {
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

const turnAsked = (text: string) =>
  until(`the turn ${text}`, () => requestsFor(stack.model.requests, text).length > 0, 40_000);

describe('a host that is gone for good', () => {
  it('loses its task to another: it goes on from the checkpoint, and the open message is answered once', async () => {
    const first = await host();
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall('echo kept > kept.txt')]
        : [assistantMessage('wrote it')],
    );
    const { task, seedId } = await startTask({ prompt: 'write a file' });
    await checkpointed(task, 1);
    const stream = wholeStream(task);
    const { release } = holdFirst('second');
    await task.sendMessage('second', { messageId: 'm2' });
    await turnAsked('second');
    await postToListener(await task.listener(), 'send', { text: 'third', messageId: 'm3' });
    const { threadId } = await task.status();
    await first.burnDown();
    const goneAt = Date.now();
    const expiresAt = await expiryOf(first);
    release();
    const other = await host();
    const back = await runsOn(task, other);
    process.stdout.write(`on another host ${back - goneAt} ms after the end of its own\n`);
    expect(back).toBeGreaterThan(expiresAt);
    await until('three turns', async () => (await task.status()).turns === 3, 60_000);
    const status = await task.status();
    expect(status).toMatchObject({ host: other.hostId, threadId, turns: 3 });
    expect(status.listener?.url).toContain(other.listenerUrl);
    const work = join(taskFolder(other.dataDir, task.taskId).work, 'kept.txt');
    expect(await readFile(work, 'utf8')).toBe('kept\n');
    expect((await seedOf(stack.store, seedId)).leaseEpoch).toBe(2);
    await task.close();
    expect(await task.result()).toMatchObject({
      outcome: 'closed',
      turns: 3,
      finalMessage: 'answer to third',
    });
    const whole = await wholeStream(task);
    expectOneGap(whole);
    expect(agentTexts(whole.events)).toEqual(['wrote it', 'answer to second', 'answer to third']);
    expect(requestsFor(stack.model.requests, 'third')).toHaveLength(1);
    // Who read along saw the same, and what was lost in the gap.
    const seen = await stream;
    expect(seen.ids).toEqual([...new Set(seen.ids)].sort((a, b) => a - b));
    expect(agentTexts(seen.events)).toEqual(['wrote it', 'answer to second', 'answer to third']);
    expect(await partsOf(stack.store).countDocuments()).toBe(0);
  }, 240_000);

  it('takes its open request with it: it is answered by the loss and asked anew', async () => {
    const first = await host();
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall('echo hi', { escalated: true, justification: 'test' })]
        : [assistantMessage('done')],
    );
    // Without any checkpoint: the one job of the task is begun anew.
    const { task } = await startTask({ prompt: 'ask me', mode: 'task', snapshot: { checkpoint: 'end' } });
    const asked = await until('a request', async () => (await task.status()).pending[0], 60_000);
    await first.burnDown();
    const other = await host();
    const again = await until(
      'the request asked anew',
      async () => {
        const pending = (await task.status()).pending[0];
        return pending && pending.requestId !== asked.requestId && pending;
      },
      90_000,
    );
    await expect(task.decide({ requestId: asked.requestId, behavior: 'allow' })).rejects.toThrow('settled');
    expect((await task.status()).host).toBe(other.hostId);
    await task.decide({ requestId: again.requestId, behavior: 'allow' });
    const result = await task.result();
    expect(result).toMatchObject({ outcome: 'completed', finalMessage: 'done', turns: 1 });
    const { events, ids } = await wholeStream(task);
    expect(events[0]).toEqual({ type: 'x-optio-gap', from: 1, to: 9_999 });
    expect(ids[0]).toBe(10_000);
    const answered = events.filter(({ type }) => type === 'x-optio-permission-answered');
    expect(answered.map(({ request_id }) => request_id)).toEqual([asked.requestId, again.requestId]);
  }, 240_000);
});

describe('a host whose worker is frozen', () => {
  it('has its codex stopped in time, loses the task, and puts it away when it thaws', async () => {
    const first = await host();
    const { release } = holdFirst('frozen');
    const { task, seedId } = await startTask({ prompt: 'first' });
    await checkpointed(task, 1);
    await task.sendMessage('frozen', { messageId: 'm2' });
    await turnAsked('frozen');
    first.signal('SIGSTOP');
    const frozenAt = Date.now();
    const other = await host();
    await until(
      'the end of codex',
      async () => (await first.codexOf(task.taskId)) === null,
      TTL_MS + STOP_MS,
    );
    const stoppedAt = Date.now();
    const expiresAt = await expiryOf(first);
    process.stdout.write(`codex stopped ${stoppedAt - frozenAt} ms after its worker froze\n`);
    expect(stoppedAt).toBeLessThan(expiresAt);
    expect(await runsOn(task, other)).toBeGreaterThan(expiresAt);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    release();
    first.signal('SIGCONT');
    await until('an empty host', async () => (await first.tasks()).length === 0, 30_000);
    expect(existsSync(join(first.dataDir, 'unsaved'))).toBe(false);
    await until('its list of evictions', async () => {
      const document = await hostsOf(stack.store).findOne({ _id: first.hostId });
      return document?.evict.length === 0;
    });
    // It did not disturb the one that has the task now.
    await task.sendMessage('more', { messageId: 'm3' });
    await until('three turns', async () => (await task.status()).turns === 3, 60_000);
    expect(await task.status()).toMatchObject({ host: other.hostId });
    expect((await seedOf(stack.store, seedId)).leaseEpoch).toBe(2);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 3 });
    expectOneGap(await wholeStream(task));
    expect(requestsFor(stack.model.requests, 'more')).toHaveLength(1);
  }, 240_000);
});

describe('a host that is cut off', () => {
  async function proxies(): Promise<{ temporal: TcpProxy; mongodb: TcpProxy; env: NodeJS.ProcessEnv }> {
    const [temporalHost = '', temporalPort] = stack.line.temporal.address.split(':');
    const uri = stack.line.env['MONGODB_URI']!;
    const [, target = '', rest = ''] = /^mongodb:\/\/([^/?]+)(.*)$/.exec(uri)!;
    const decoded = decodeURIComponent(target);
    const [mongoHost = '', mongoPort] = decoded.split(':');
    const temporal = await startTcpProxy({ host: temporalHost, port: Number(temporalPort) });
    const mongodb = await startTcpProxy(
      decoded.startsWith('/') ? { path: decoded } : { host: mongoHost, port: Number(mongoPort) },
    );
    onTestFinished(async () => {
      await temporal.close();
      await mongodb.close();
    });
    return {
      temporal,
      mongodb,
      env: { TEMPORAL_ADDRESS: temporal.address, MONGODB_URI: `mongodb://${mongodb.address}${rest}` },
    };
  }

  it('from both servers: fences itself, loses the task, and puts it away when it is back', async () => {
    const { temporal, mongodb, env } = await proxies();
    const first = await host(env);
    const { release } = holdFirst('cut');
    const { task } = await startTask({ prompt: 'first' });
    await checkpointed(task, 1);
    await task.sendMessage('cut', { messageId: 'm2' });
    await turnAsked('cut');
    const other = await host();
    temporal.cut();
    mongodb.cut();
    const cutAt = Date.now();
    await until(
      'the end of codex',
      async () => (await first.codexOf(task.taskId)) === null,
      TTL_MS + STOP_MS,
    );
    const stoppedAt = Date.now();
    const expiresAt = await expiryOf(first);
    process.stdout.write(`codex stopped ${stoppedAt - cutAt} ms after the cut\n`);
    expect(stoppedAt).toBeLessThan(expiresAt);
    expect(await runsOn(task, other)).toBeGreaterThan(expiresAt);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    release();
    temporal.heal();
    mongodb.heal();
    await until('an empty host', async () => (await first.tasks()).length === 0, 90_000);
    expect(first.pid).toBeGreaterThan(0);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2 });
    expectOneGap(await wholeStream(task));
  }, 300_000);

  it('from Temporal alone: is asked to let go, saves all, and nothing is lost', async () => {
    const { temporal, env } = await proxies();
    const first = await host(env);
    const { release } = holdFirst('deaf');
    const { task } = await startTask({ prompt: 'first' });
    await checkpointed(task, 1);
    await task.sendMessage('deaf', { messageId: 'm2' });
    await turnAsked('deaf');
    await writeFile(join(taskFolder(first.dataDir, task.taskId).work, 'late.txt'), 'since the checkpoint');
    temporal.cut();
    const other = await host();
    await runsOn(task, other);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    release();
    expect(await first.tasks()).toEqual([]);
    expect(await readFile(join(taskFolder(other.dataDir, task.taskId).work, 'late.txt'), 'utf8')).toBe(
      'since the checkpoint',
    );
    temporal.heal();
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2 });
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.filter(({ method }) => method === 'turn/completed')).toHaveLength(3);
  }, 300_000);
});
