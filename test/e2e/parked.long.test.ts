import { randomUUID } from 'node:crypto';
import { access, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import {
  assistantMessage,
  fail,
  lastUserText,
  modelProvider,
  requestsFor,
  usageLimitReached,
  type ModelScript,
} from '../../src/dev/model-server.js';
import { isAlive } from '../../src/process/process-identity.js';
import { releaseLease } from '../../src/store/leases.js';
import { leaseForVerification, recordFinding } from '../../src/store/seed-verification.js';
import { insertSeed, listSeeds } from '../../src/store/seeds.js';
import { until } from '../support/until.js';
import { saveHistory } from '../workflows/histories.js';
import { useRealStack } from './real-stack.js';

const stack = useRealStack();

const AUTH = Buffer.from(JSON.stringify({ OPENAI_API_KEY: 'sk-test-of-no-value' }));

const newSeed = (pool: string) => insertSeed(stack.store, { authJson: AUTH, pool });

async function startTask(input: CodexTaskInput): Promise<TaskHandle> {
  const taskId = `e2e-${randomUUID()}`;
  await stack.client.start(taskId, { codexConfig: modelProvider(stack.model.url), ...input });
  return stack.client.handle(taskId);
}

/** The first `count` requests for this message meet the limit, every later one is answered. */
function limits(text: string, count: number, resetsAt: () => Date | null): ModelScript {
  let left = count;
  return (request) =>
    lastUserText(request) === text && left-- > 0
      ? [usageLimitReached(resetsAt())]
      : [assistantMessage(`heard ${lastUserText(request)}`)];
}

/** A reset so long after it is first asked for: however long codex took to come to that. */
function resetIn(seconds: number): () => Date {
  let at: Date | undefined;
  return () => (at ??= inSeconds(seconds));
}

const seedOf = async (seedId: string) =>
  (await listSeeds(stack.store)).find((each) => each.seedId === seedId)!;

const parked = (task: TaskHandle) =>
  until('a parked task', async () => (await task.status()).state === 'parked', 60_000);

const processOf = async (taskId: string) => {
  const text = await readFile(join(stack.line.dataDir, 'tasks', taskId, 'process.json'), 'utf8');
  return JSON.parse(text) as { pid: number; startTime: number };
};

const post = async (task: TaskHandle, path: string, body: unknown) => {
  const { url, password } = await task.listener();
  return fetch(`${url}/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${password}` },
    body: JSON.stringify(body),
  });
};

const inSeconds = (seconds: number) => new Date((Math.ceil(Date.now() / 1_000) + seconds) * 1_000);

async function follow(task: TaskHandle) {
  const events: Record<string, unknown>[] = [];
  const ids: number[] = [];
  for await (const { id, event } of task.events()) {
    ids.push(id);
    events.push({ ...event });
  }
  return { events, ids };
}

describe('a task whose account is out of quota', () => {
  it('waits without Codex and credential until the reset, across workers', async () => {
    const seedId = await newSeed('alone');
    const reset = resetIn(30);
    stack.play(limits('the question', 1, reset));
    const task = await startTask({
      prompt: 'the question',
      credential: { pool: 'alone' },
      mode: 'conversation',
    });
    const codex = await until('codex', () => processOf(task.taskId).catch(() => null));
    const stream = follow(task);
    await parked(task);
    const resetsAt = reset();
    const before = await task.status();
    expect(before).toMatchObject({ parkedUntil: resetsAt.toISOString(), turns: 0, pending: [] });
    await until('a seed that waits', async () => !(await seedOf(seedId)).leased);
    expect((await seedOf(seedId)).metadata['limitedUntil']).toEqual(resetsAt);
    expect(await isAlive(codex)).toBe(false);
    await expect(
      access(join(stack.line.dataDir, 'tasks', task.taskId, 'home', '.codex', 'auth.json')),
    ).rejects.toThrow('ENOENT');
    // Durable in the workflow, and on the host.
    await task.sendMessage('by signal', { messageId: 'm1' });
    expect(await (await post(task, 'send', { text: 'by HTTP', messageId: 'm2' })).json()).toMatchObject({
      ok: true,
    });
    const refused = await post(task, 'interrupt', {});
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).not.toBeNull();

    await stack.endWorker('SIGKILL');
    expect(Date.now()).toBeLessThan(resetsAt.getTime());
    expect((await task.status()).state).toBe('parked');
    const again = await post(task, 'send', { text: 'by HTTP', messageId: 'm2' });
    expect(again.status).toBe(200);
    expect(requestsFor(stack.model.requests, 'the question')).toHaveLength(1);

    await until('three turns', async () => (await task.status()).turns === 3, 60_000);
    expect(Date.now()).toBeGreaterThanOrEqual(resetsAt.getTime());
    const after = await task.status();
    expect(after).toMatchObject({ threadId: before.threadId, seedId });
    expect(after.parkedUntil).toBeUndefined();
    const asked = requestsFor(stack.model.requests, 'the question');
    expect(asked).toHaveLength(2);
    // The turn that the limit ended is not in the thread any more.
    const mine = asked[1]!.body.input.filter((item) =>
      JSON.stringify(item['content'] ?? '').includes('"text":"the question"'),
    );
    expect(mine).toHaveLength(1);
    for (const text of ['by signal', 'by HTTP'])
      expect(requestsFor(stack.model.requests, text)).toHaveLength(1);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 3 });
    const { events, ids } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    const ends = events.flatMap((event) =>
      event['method'] === 'turn/completed'
        ? [(event as { params: { turn: { status: string } } }).params.turn.status]
        : [],
    );
    expect(ends).toEqual(['failed', 'completed', 'completed', 'completed']);
    const own = events.map(({ type }) => type).filter((type) => /parked/.test(String(type)));
    expect(own).toEqual(['x-optio-parked', 'x-optio-unparked']);
    expect(await readdir(join(stack.line.dataDir, 'tasks'))).not.toContain(task.taskId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-parked');
  });

  it('continues at once with another seed of its pool', async () => {
    const first = await newSeed('two');
    stack.play(limits('switch', 1, resetIn(3_600)));
    const task = await startTask({ prompt: 'switch', credential: { pool: 'two' } });
    await parked(task);
    await until('a free seed', async () => (await task.status()).seedId === null);
    const second = await newSeed('two');
    expect(await task.result()).toMatchObject({
      outcome: 'completed',
      turns: 1,
      finalMessage: 'heard switch',
    });
    expect(requestsFor(stack.model.requests, 'switch')).toHaveLength(2);
    expect((await seedOf(first)).metadata['limitedUntil']).toBeInstanceOf(Date);
    expect((await seedOf(second)).metadata['limitedUntil']).toBeUndefined();
    expect((await seedOf(second)).leased).toBe(false);
  });

  it('waits for its seed when it names one', async () => {
    const seedId = await newSeed('named');
    await newSeed('named');
    const reset = resetIn(12);
    stack.play(limits('only this', 1, reset));
    const task = await startTask({ prompt: 'only this', credential: { seedId } });
    await parked(task);
    expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 1 });
    expect(Date.now()).toBeGreaterThanOrEqual(reset().getTime());
  });

  it('ends by a close, and names the messages it dropped', async () => {
    await newSeed('closed');
    stack.play(limits('never', 9, resetIn(3_600)));
    const task = await startTask({ prompt: 'never', credential: { pool: 'closed' } });
    const stream = follow(task);
    await parked(task);
    await post(task, 'send', { text: 'waits here', messageId: 'on-host' });
    await task.sendMessage('waits there', { messageId: 'in-workflow' });
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 0 });
    expect((await stream).events.at(-1)).toMatchObject({
      type: 'x-optio-closed',
      outcome: 'closed',
      dropped: ['on-host', 'in-workflow'],
    });
  });

  it('tries the other seed when a limit has no time, and parks when both are out', async () => {
    const seedIds = [await newSeed('untimed'), await newSeed('untimed')];
    const answers = [[usageLimitReached(null)], [creditsDepleted()]];
    stack.play((request) => {
      const text = lastUserText(request);
      return (text === 'asked twice' && answers.shift()) || [assistantMessage(`heard ${text}`)];
    });
    const input = { prompt: 'asked twice', credential: { pool: 'untimed' } };
    const task = await startTask(input);
    const inAnHour = Date.now() + 3_600_000;
    const threads = await until('two refusals', async () => {
      const asked = requestsFor(stack.model.requests, 'asked twice');
      return asked.length === 2 && asked.map(({ body }) => body['prompt_cache_key']);
    });
    await until('a task whose seeds are out', async () => {
      const { state, seedId } = await task.status();
      return state === 'parked' && seedId === null;
    });
    expect(threads[1]).toBe(threads[0]);
    const limited = await until('two seeds that are out', async () => {
      const seeds = await Promise.all(seedIds.map(seedOf));
      return seeds.every(({ state }) => state === 'limited') && seeds;
    });
    const kinds = limited.map(({ metadata }) => (metadata['usageLimit'] as { kind: string }).kind);
    expect(kinds.sort()).toEqual(['credits', 'unknown']);
    const untils = limited.map(({ limitedUntil }) => limitedUntil!.getTime());
    for (const each of untils) expect(Math.abs(each - inAnHour)).toBeLessThan(120_000);
    const first = new Date(Math.min(...untils)).toISOString();
    await until(
      'the time of the first that is back',
      async () => (await task.status()).parkedUntil === first,
    );

    // The next task of the pool asks nobody.
    const second = await startTask({ ...input, prompt: 'another' });
    await until('a second parked task', async () => (await second.status()).parkedUntil === first);
    expect(await second.status()).toMatchObject({ state: 'parked', seedId: null });
    expect(requestsFor(stack.model.requests, 'another')).toHaveLength(0);

    // Credits were bought, which a verification sees.
    await findRoom(seedIds[0]!);
    expect(await task.result()).toMatchObject({
      outcome: 'completed',
      turns: 1,
      finalMessage: 'heard asked twice',
    });
    expect(await second.result()).toMatchObject({ outcome: 'completed', finalMessage: 'heard another' });
    const asked = requestsFor(stack.model.requests, 'asked twice');
    expect(asked.map(({ body }) => body['prompt_cache_key'])).toEqual([threads[0], threads[0], threads[0]]);
  });

  it('fails with CodexFailed without another account or a time to wait for', async () => {
    stack.play(limits('no time', 1, () => null));
    const task = await startTask({ prompt: 'no time', credential: { none: true } });
    await expect(task.result()).rejects.toMatchObject({ code: 'CodexFailed' });
  });
});

/** As the backend refuses a member of a workspace whose credits are spent. */
const creditsDepleted = () =>
  fail(429, {
    body: {
      error: { type: 'usage_limit_reached', message: 'The usage limit has been reached', plan_type: 'team' },
    },
    headers: {
      'x-codex-rate-limit-reached-type': 'workspace_member_credits_depleted',
      'x-codex-primary-used-percent': '25',
      'x-codex-primary-window-minutes': '300',
      'x-codex-primary-reset-at': String(Math.ceil(Date.now() / 1_000) + 3_600),
    },
  });

async function findRoom(seedId: string): Promise<void> {
  const leased = await leaseForVerification(stack.store, seedId, 'verification', 60_000);
  if (leased.kind !== 'leased') throw new Error(`expected a lease, got ${leased.kind}`);
  await recordFinding(stack.store, leased.lease, {
    verdict: 'alive',
    reason: 'fresh',
    account: null,
    limitedUntil: null,
    hasRoom: true,
  });
  await releaseLease(stack.store, leased.lease);
}
