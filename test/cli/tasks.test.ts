import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { taskPassword } from '../../src/listener-secret.js';
import { closed, frame, startEventServer, stream } from '../client/event-server.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import { runCli, spawnCli } from './run-cli.js';

// Each command is a process of its own, a second apiece on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const SECRET = 'a secret of more than 32 characters';

let built: { path: string; remove: () => Promise<void> };
let temporal: TestTemporal;
let worker: Worker;
let running: Promise<void>;
let env: NodeJS.ProcessEnv;

const cli = async (...args: string[]) => {
  const { code, stdout, stderr } = await runCli(built.path, args, { env });
  const lines = stdout.trimEnd().split('\n');
  const json = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { code, stdout, stderr, json };
};

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  built = await makeFolder();
  await buildPackage(built.path);
  temporal = await connectLocal();
  const { nativeConnection, address, namespace = 'default' } = temporal.environment;
  env = { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace, CODEX_TASK_LISTENER_SECRET: SECRET };
  worker = await Worker.create({
    connection: nativeConnection,
    namespace,
    taskQueue: 'codex-tasks',
    workflowsPath: fileURLToPath(new URL('../client/stub-workflow.ts', import.meta.url)),
  });
  running = worker.run();
});

afterAll(async () => {
  worker.shutdown();
  await running;
  await temporal.close();
  await built.remove();
});

it('starts a task, shows it, talks to it and shows its end', async () => {
  const started = await cli('start', 't1', '--prompt', 'go', '--json');
  expect(started.code).toBe(0);
  expect(started.json()).toEqual([{ taskId: 't1', runId: expect.any(String) as string }]);
  expect(started.stderr).toBe('');
  expect(await cli('start', 't1')).toMatchObject({ code: 2, stderr: /already running/ });

  const shown = await cli('show', 't1');
  expect(shown.stdout).toMatch(/^idle t1\n/);
  expect(shown.stdout).toContain('? Run ls');
  expect(shown.stdout).toContain('    codex-task approve t1 r1\n');

  expect((await cli('send', 't1', 'hello', '--message-id', 'm1', '--json')).json()).toEqual([
    { ok: true, messageId: 'm1' },
  ]);
  await expect.poll(async () => (await cli('ls', '--json')).stdout).toContain('"taskId":"t1"');

  expect(await cli('approve', 't1')).toMatchObject({ code: 0, stdout: 'allowed r1\n' });
  expect(await cli('deny', 't1', 'r1')).toMatchObject({
    code: 2,
    stderr: 'codex-task: request r1 is settled\n',
  });
  expect(await cli('approve', 't1')).toMatchObject({
    code: 3,
    stderr: 'codex-task: task t1 has no open request\n',
  });

  expect((await cli('close', 't1')).code).toBe(0);
  const ended = await cli('show', 't1', '--json');
  expect(ended.json()[0]).toMatchObject({
    status: 'COMPLETED',
    result: { outcome: 'closed', finalMessage: 'hello' },
  });
  expect((await cli('show', 't1')).stdout).toMatch(/^closed t1\n[^]*\nhello\n/);
});

it('waits for a task, and fails when it fails', async () => {
  const waiting = cli('start', 'w1', '--wait', '--json');
  await expect.poll(async () => (await cli('send', 'w1', 'fail')).code).toBe(0);
  const { code, json } = await waiting;
  expect(code).toBe(1);
  expect(json().at(-1)).toEqual({ error: { code: 'CodexFailed', message: 'codex broke' } });
  expect((await cli('show', 'w1')).stdout).toMatch(/^CodexFailed w1\n  failure +codex broke\n/);
});

it('knows that there is no such task', async () => {
  for (const args of [['show'], ['follow'], ['close'], ['interrupt'], ['approve']])
    expect(await cli(...args, 'missing')).toMatchObject({ code: 3, stderr: 'codex-task: no task missing\n' });
});

it('follows a task over a cut, for people and as JSON lines', async () => {
  const message = {
    method: 'item/completed',
    params: { item: { type: 'agentMessage', id: 'm', text: 'Hello' } },
  };
  const server = await startEventServer(
    stream([frame(1, { method: 'item/agentMessage/delta', params: { itemId: 'm', delta: 'Hel' } })], 'cut'),
    stream([frame(2, message), frame(3, closed)]),
  );
  try {
    await cli('start', 'f1', '--instructions', server.url);
    const people = await cli('follow', 'f1');
    expect(people).toMatchObject({ code: 0, stdout: 'Hello\n■ ended: completed\n' });
    const machines = await cli('follow', 'f1', '--json', '--from', '2');
    expect(machines.json()).toEqual([
      { id: 2, event: message },
      { id: 3, event: closed },
    ]);
    expect(server.requests.map(({ last }) => last)).toEqual([undefined, '1', '1']);
    const credentials = Buffer.from(`optio:${taskPassword(SECRET, 'f1')}`).toString('base64');
    expect(server.requests[0]?.auth).toBe(`Basic ${credentials}`);
    await cli('close', 'f1');
  } finally {
    await server.close();
  }
});

it('ends with 130 at Ctrl-C, leaving the task alone', async () => {
  const server = await startEventServer(stream([frame(1, { type: 'x' })], 'stay'));
  try {
    await cli('start', 'i1', '--instructions', server.url);
    const child = spawnCli(built.path, ['follow', 'i1', '--json'], env);
    await once(createInterface({ input: child.stdout }), 'line');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
    expect((await cli('close', 'i1')).code).toBe(0);
  } finally {
    await server.close();
  }
});
