import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { taskPassword } from '../../src/listener-secret.js';
import { findBlob, putBlob } from '../../src/store/blobs.js';
import { type Store } from '../../src/store/mongo.js';
import { closed, frame, startEventServer, stream } from '../client/event-server.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { openTestDatabase, type TestDatabase } from '../support/mongo.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import { spawnCli } from './run-cli.js';
import { runHere } from './run-here.js';
import { openStore } from '../../src/store/open-store.js';

const SECRET = 'a secret of more than 32 characters';

let built: { path: string; remove: () => Promise<void> };
let temporal: TestTemporal;
let worker: Worker;
let running: Promise<void>;
let env: NodeJS.ProcessEnv;
let database: TestDatabase;
let store: Store;

const cli = (...args: string[]) => runHere(args, { env });

beforeAll(async () => {
  quietRuntime();
  built = await makeFolder();
  await buildPackage(built.path);
  database = await openTestDatabase();
  store = await openStore({ uri: database.uri, prefix: 'optio' });
  temporal = await connectLocal();
  const { nativeConnection, address, namespace = 'default' } = temporal.environment;
  env = {
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    CODEX_TASK_LISTENER_SECRET: SECRET,
    MONGODB_URI: database.uri,
    CODEX_TASK_DATA_DIR: join(built.path, 'data'),
  };
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
  await store.close();
  await database.close();
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
  await temporal.environment.client.workflow.getHandle('t1').result();
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

it('reports an unknown task', async () => {
  for (const args of [['show'], ['follow'], ['close'], ['interrupt'], ['approve']])
    expect(await cli(...args, 'missing')).toMatchObject({ code: 3, stderr: 'codex-task: no task missing\n' });
});

it('follows a task over a cut connection, as text and as JSON lines', async () => {
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
  const server = await startEventServer(stream([frame(1, { type: 'x' })], 'assignment'));
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

describe('purge', () => {
  const purge = (...args: string[]) => cli('purge', ...args);
  const start = (...args: string[]) => cli('start', ...args);
  const close = (taskId: string) => cli('close', taskId);

  /** An ended task with a deliverable. */
  async function ended(taskId: string, ...more: string[]): Promise<string> {
    await start(taskId, ...more);
    await close(taskId);
    await temporal.environment.client.workflow.getHandle(taskId).result();
    const metadata = { taskId, path: 'deliverables/a.pdf' };
    return putBlob(store, Buffer.from('a'), { filename: 'deliverable', metadata });
  }
  const has = async (blobId: string) => (await findBlob(store, blobId)) !== null;

  it('refuses to purge a running task, asks first, and keeps what a running task needs', async () => {
    const data = join(built.path, 'data');
    const [journal, unsaved, own, others] = [
      join(data, 'ended', 'p1'),
      join(data, 'unsaved', 'p1-1700000000000'),
      join(data, 'tasks', 'p1'),
      join(data, 'unsaved', 'p1-x-1700000000000'),
    ];
    for (const folder of [journal, unsaved, own, others]) await mkdir(folder, { recursive: true });
    const local = join(built.path, 'data.csv');
    await writeFile(local, 'a,b');
    const deliverable = await ended('p1', '--file', local);
    const uploaded = await store.db
      .collection('fs.files')
      .findOne({ filename: 'file', 'metadata.taskId': 'p1' });
    const blobId = String(uploaded?._id);
    const input = join(built.path, 'input.json');
    await writeFile(input, JSON.stringify({ files: [{ path: 'data.csv', blobId }] }));
    await start('p2', '--input', input);
    const { client } = temporal.environment;
    await expect.poll(async () => (await cli('ls', '--json')).stdout).toContain('"taskId":"p2"');

    expect(await purge('p2', '--yes')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^codex-task: task p2 is running: end it first \(codex-task close p2/,
      ) as string,
    });
    expect(await purge('p1')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('needs --yes, or --dry-run') as string,
    });
    const dry = await purge('p1', '--dry-run');
    expect(dry.stdout).toMatch(/^would go p1\n  deliverables +deliverables\/a.pdf\n/);
    expect([await has(deliverable), existsSync(journal), existsSync(unsaved)]).toEqual([true, true, true]);

    const purged = await purge('p1', '--yes', '--json');
    expect(purged.code).toBe(0);
    expect(purged.json()[0]).toMatchObject({
      taskId: 'p1',
      purged: true,
      deliverables: ['deliverables/a.pdf'],
      files: [],
      folders: [journal, unsaved],
    });
    const left = purged.json()[0]?.['left'] as { what: string; why: string }[];
    expect(left).toContainEqual({ what: `file ${blobId}`, why: 'the input of running task p2 names it' });
    expect(left.map(({ what }) => what)).toContain(own);
    expect(await Promise.all([deliverable, blobId].map(has))).toEqual([false, true]);
    expect([journal, unsaved, own, others].map(existsSync)).toEqual([false, false, true, true]);

    await close('p2');
    await client.workflow.getHandle('p2').result();
    await expect.poll(async () => (await cli('ls', '--json')).stdout).not.toContain('"taskId":"p2"');
    expect((await purge('p1', '--yes', '--json')).json()[0]).toMatchObject({ files: ['data.csv'] });
    expect(await has(blobId)).toBe(false);
    expect(await purge('p1')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^nothing is stored of p1\n/) as string,
    });
  });

  it('removes only what a person at the terminal agrees to', async () => {
    const blobId = await ended('p3');
    for (const [text, code, kept] of [
      ['', 1, true],
      ['n\n', 1, true],
      ['y\n', 0, false],
    ] as const) {
      const asked = await runHere(['purge', 'p3'], { env, typed: text });
      expect(asked.code).toBe(code);
      expect(asked.stderr).toContain('Remove all of this permanently? [y/N]\n');
      expect(asked.stdout + asked.stderr).toContain(kept ? 'Nothing was removed' : 'purged p3');
      expect(await has(blobId)).toBe(kept);
    }
  });

  it('removes nothing of a task that starts again while a person is asked', async () => {
    const blobId = await ended('p5');
    const typed = async () => {
      expect((await start('p5')).code).toBe(0);
      return 'y\n';
    };
    expect(await runHere(['purge', 'p5'], { env, typed })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('task p5 is running: end it first') as string,
    });
    expect(await has(blobId)).toBe(true);
    await close('p5');
    await temporal.environment.client.workflow.getHandle('p5').result();
    expect((await purge('p5', '--yes')).code).toBe(0);
    expect(await has(blobId)).toBe(false);
  });

  it('leaves a task that Temporal never knew alone, and explains why it has no events', async () => {
    expect(await purge('nobody', '--json', '--yes')).toMatchObject({ code: 0 });
    expect((await purge('../x')).stdout).toMatch(/^nothing is stored of \.\.\/x\n/);
    const server = await startEventServer((response) => void response.writeHead(404).end());
    try {
      await ended('p4', '--instructions', server.url);
      expect(await cli('follow', 'p4')).toMatchObject({
        code: 3,
        stderr: expect.stringContaining('Task p4 has ended, and its events are kept no more') as string,
      });
    } finally {
      await server.close();
    }
  });
});
