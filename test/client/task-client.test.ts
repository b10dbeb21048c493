import { fileURLToPath } from 'node:url';
import { Client, ServiceError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure, defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TemporalLink } from '../../src/client/connect-temporal.js';
import { createTaskClient, type TaskClient, type TaskFilter } from '../../src/client/index.js';
import { taskPassword } from '../../src/listener-secret.js';
import type { View } from '../../src/view/index.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import { workflowCalls } from '../../src/temporal/workflow-calls.js';
import { closed, frame, startEventServer, stream } from './event-server.js';

const SECRET = 'a secret of more than 32 characters';

let temporal: TestTemporal;
let worker: Worker;
let running: Promise<void>;
let tasks: TaskClient;

beforeAll(async () => {
  quietRuntime();
  temporal = await connectLocal();
  const { nativeConnection, client, namespace } = temporal.environment;
  worker = await Worker.create({
    connection: nativeConnection,
    namespace: namespace ?? 'default',
    taskQueue: 'codex-tasks',
    workflowsPath: fileURLToPath(new URL('./stub-workflow.ts', import.meta.url)),
  });
  running = worker.run();
  tasks = createTaskClient({ client, listenerSecret: SECRET });
});

afterAll(async () => {
  worker.shutdown();
  await running;
  await temporal.close();
});

describe('a task client', () => {
  it('checks the input before it asks the server', async () => {
    const unreachable = createTaskClient({ client: null as unknown as Client });
    await expect(unreachable.start('t', { mode: 'x' as 'task' })).rejects.toMatchObject({
      code: 'BadInput',
      message: 'mode: expected "task" or "conversation", got "x"',
    });
    await expect(unreachable.start('t', { prompt: '€'.repeat(700_000) })).rejects.toThrow(
      /^input: expected at most 1900000 bytes, got 2100013/,
    );
  });

  it('refuses an impossible id before it sends a request', () => {
    const unreachable = createTaskClient({ client: null as unknown as Client });
    for (const id of ['operator', '', 'a\nb', 'x'.repeat(1_001), 7 as unknown as string])
      expect(() => unreachable.handle(id)).toThrow(/^taskId: expected text of 1 to 1000 bytes/);
  });

  it('starts a task, talks to it and gives its result', async () => {
    const task = await tasks.start('talk', { prompt: '  first line\nsecond' });
    const { staticSummary, memo } = await task.describe();
    expect(await staticSummary()).toBe('first line');
    expect(memo).toEqual({ summary: 'first line' });
    expect((await task.status()).state).toBe('idle');
    const { messageId } = await task.sendMessage('hello', { messageId: 'm1' });
    expect(messageId).toBe('m1');
    expect((await task.status()).turns).toBe(1);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', finalMessage: 'hello' });
    expect((await task.status()).taskId).toBe('talk');
  });

  it('makes an id for a task that is started without one', async () => {
    const [first, second] = await Promise.all([
      tasks.start({ prompt: 'no id' }, { summary: 'shown' }),
      tasks.start({ prompt: 'no id' }),
    ]);
    expect(first.taskId).toMatch(/^task-[0-9a-f-]{36}$/);
    expect(second.taskId).not.toBe(first.taskId);
    expect(await (await first.describe()).staticSummary()).toBe('shown');
    for (const task of [first, second]) await task.close();
    await expect(tasks.start(undefined as unknown as string)).rejects.toThrow(/^taskId: expected text/);
  });

  it('refuses a second task of the same id, and takes the id again after its end', async () => {
    const task = await tasks.start('twice');
    await expect(tasks.start('twice')).rejects.toMatchObject({
      code: 'BadInput',
      message: 'task twice is already running: choose another id, or end it first',
    });
    await task.close();
    await task.result();
    const again = await tasks.start('twice');
    await again.close();
    await again.result();
  });

  it('sends a decision again when its run had just ended', async () => {
    const { connection, namespace = 'default' } = temporal.environment;
    let sent = 0;
    // As the server says it, which happens seldom.
    const unprocessed = ApplicationFailure.nonRetryable('was not processed', 'UnprocessedUpdate');
    const client = new Client({
      connection,
      namespace,
      interceptors: {
        workflow: [
          {
            startUpdate(input, next) {
              if (++sent === 1) throw new WorkflowUpdateFailedError('Workflow Update failed', unprocessed);
              return next(input);
            },
          },
        ],
      },
    });
    const task = await createTaskClient({ client }).start('again');
    expect(await task.decide({ requestId: 'r1', behavior: 'allow' })).toMatchObject({ requestId: 'r1' });
    expect(sent).toBe(2);
    await task.close();
  });

  it('asks again when the worker of a query was killed', async () => {
    const { connection, namespace = 'default' } = temporal.environment;
    let asked = 0;
    // As the server says it, which happens seldom.
    const cancelled = { code: 1, details: 'context canceled', metadata: {} };
    const cause = Object.assign(new Error('1 CANCELLED: context canceled'), cancelled);
    const client = new Client({
      connection,
      namespace,
      interceptors: {
        workflow: [
          {
            query(input, next) {
              if (++asked === 1) throw new ServiceError('Failed to query Workflow', { cause });
              return next(input);
            },
          },
        ],
      },
    });
    const task = await createTaskClient({ client }).start('asked-again');
    expect((await task.status()).state).toBe('idle');
    expect(asked).toBe(2);
    await task.close();
  });

  it('decides once, and passes on the reason of a refusal', async () => {
    const task = await tasks.start('decide');
    expect(await task.decide({ requestId: 'r1', behavior: 'allow' })).toEqual({
      requestId: 'r1',
      behavior: 'allow',
    });
    await expect(task.decide({ requestId: 'r1', behavior: 'deny' })).rejects.toMatchObject({
      code: 'BadInput',
      message: 'request r1 is settled',
    });
    await task.close();
    await task.result();
  });

  it('reports the code a task failed with, and a cancelled task as cancelled', async () => {
    const failing = await tasks.start('failing');
    await failing.sendMessage('fail');
    await expect(failing.result()).rejects.toMatchObject({ code: 'CodexFailed', message: 'codex broke' });
    const cancelled = await tasks.start('cancelled');
    await cancelled.cancel();
    await expect(cancelled.result()).rejects.toMatchObject({ code: 'Cancelled' });
    await expect(cancelled.sendMessage('x')).rejects.toMatchObject({ code: 'NotFound' });
  });

  it('reports an unknown task', async () => {
    const missing = tasks.handle('missing');
    const acts = [
      () => missing.status(),
      () => missing.close(),
      () => missing.result(),
      () => missing.decide({ requestId: 'r', behavior: 'deny' }),
    ];
    for (const act of acts) await expect(act()).rejects.toMatchObject({ code: 'NotFound' });
    await expect(missing.events().next()).rejects.toMatchObject({ code: 'NotFound' });
  });

  it('lists the hosts that running tasks name, and no others', async () => {
    const here = await tasks.start('here', { ui: { host: 'h1' } });
    const nowhere = await tasks.start('nowhere');
    const ended = await tasks.start('ended', { ui: { host: 'h2' } });
    await ended.close();
    await ended.result();
    const { client, connection } = temporal.environment;
    const { hostsInUse } = workflowCalls({ client, connection } as unknown as TemporalLink);
    await expect
      .poll(async () => [...(await hostsInUse(new AbortController().signal))], { timeout: 20_000 })
      .toEqual(['h1']);
    await expect(hostsInUse(AbortSignal.abort())).rejects.toThrow();
    for (const task of [here, nowhere]) {
      await task.close();
      await task.result();
    }
  });

  it('lists running tasks', async () => {
    const task = await tasks.start('listed');
    await expect
      .poll(async () => {
        const found = [];
        for await (const { taskId, status, state } of tasks.list()) found.push({ taskId, status, state });
        return found;
      })
      .toContainEqual({ taskId: 'listed', status: 'RUNNING', state: null });
    await task.close();
    await task.result();
  });

  it('finds running tasks by what their search attributes say, quotes included', async () => {
    const host = "o'brien' OR CodexState != 'x";
    const shown = { CodexState: 'idle', CodexHost: host };
    const keys = Object.entries(shown).map(([name, value]) => ({
      key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD),
      value,
    }));
    await temporal.environment.client.workflow.start('codexTask', {
      workflowId: 'to-find',
      taskQueue: 'codex-tasks',
      args: [{}],
      typedSearchAttributes: keys,
    });
    const other = await tasks.start('not-to-find');
    const idsOf = async (filter: TaskFilter) => {
      const found: string[] = [];
      for await (const { taskId } of tasks.find(filter)) found.push(taskId);
      return found;
    };
    await expect.poll(() => idsOf({ host })).toEqual(['to-find']);
    expect(await idsOf({ host, state: 'idle' })).toEqual(['to-find']);
    expect(await idsOf({ host, state: 'running' })).toEqual([]);
    expect(await idsOf({ state: 'parked' })).toEqual([]);
    await expect.poll(() => idsOf({})).toEqual(expect.arrayContaining(['to-find', 'not-to-find']));
    for (const task of [tasks.handle('to-find'), other]) {
      await task.close();
      await task.result();
    }
  });

  it('refuses to find tasks by what no task shows', () => {
    expect(() => tasks.find({ pool: 'a' } as TaskFilter)).toThrow(
      'pool: expected one of state, model, seedId, host to find tasks by',
    );
    for (const host of [7, 'a"b', 'a\\'])
      expect(() => tasks.find({ host } as TaskFilter)).toThrow('host: expected text without " and \\, got');
  });

  it('reads events from the listener that the task names, with its password', async () => {
    const server = await startEventServer(stream([frame(1, {}), frame(2, closed)]));
    try {
      const task = await tasks.start('events', { instructions: server.url });
      expect(await task.listener()).toEqual({
        taskId: 'events',
        url: server.url,
        username: 'optio',
        password: taskPassword(SECRET, 'events'),
      });
      const ids = [];
      for await (const { id } of task.events()) ids.push(id);
      expect(ids).toEqual([1, 2]);
      const credentials = Buffer.from(`optio:${taskPassword(SECRET, 'events')}`).toString('base64');
      expect(server.requests[0]?.auth).toBe(`Basic ${credentials}`);
      await task.close();
      await task.result();
    } finally {
      await server.close();
    }
  });

  it('shows a task as a view that grows with each of its events, over a cut connection', async () => {
    const turn = (method: string, status: string) => ({
      method,
      params: { threadId: 'th', turn: { id: 'tu', status, items: [] } },
    });
    const ask = {
      method: 'item/fileChange/requestApproval',
      id: '1-0',
      params: { threadId: 'th', turnId: 'tu', itemId: 'f' },
    };
    const answer = {
      type: 'x-optio-permission-answered',
      request_id: '1-0',
      behavior: 'allow',
      decidedBy: 'anna',
    };
    const server = await startEventServer(
      stream([frame(1, turn('turn/started', 'inProgress')), frame(2, ask)], 'cut'),
      stream([
        frame(2, ask),
        frame(3, answer),
        frame(4, turn('turn/completed', 'completed')),
        frame(5, closed),
      ]),
    );
    try {
      const task = await tasks.start('view', { instructions: server.url });
      const phases = [];
      let last: View | undefined;
      for await (const view of task.view()) {
        phases.push(`${view.state.phase} ${view.requests.length}`);
        last = view;
      }
      expect(phases).toEqual([
        'running 0',
        'waiting-for-permission 1',
        'waiting-for-permission 1',
        'running 0',
        'idle 0',
        'closed 0',
      ]);
      expect(last?.items.map(({ kind }) => kind)).toEqual(['request', 'turn', 'notice']);
      await task.close();
      await task.result();
    } finally {
      await server.close();
    }
  });

  it('sends large messages through the listener', async () => {
    const server = await startEventServer((response, request) => {
      request.resume().once('end', () => response.end('{"ok":true,"messageId":"m1"}'));
    });
    try {
      const task = await tasks.start('large', { instructions: server.url });
      await task.sendMessage('x'.repeat(70_000), { messageId: 'm1' });
      expect(server.requests.map(({ url }) => url)).toEqual(['/tasks/t1/send']);
      expect((await task.status()).turns).toBe(0);
      await task.close();
      await task.result();
    } finally {
      await server.close();
    }
  });

  it('has no listener without the secret, or before the task has a host', async () => {
    const { client } = temporal.environment;
    const task = await tasks.start('hostless');
    await expect(task.listener()).rejects.toMatchObject({ code: 'Unavailable' });
    await expect(createTaskClient({ client }).handle('hostless').listener()).rejects.toThrow(
      /CODEX_TASK_LISTENER_SECRET/,
    );
    await task.close();
    await task.result();
    expect((await task.events().next()).done).toBe(true);
  });
});
