import { randomUUID } from 'node:crypto';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput, TaskEvent } from '../../src/contract/index.js';
import {
  assistantMessage,
  commandCall,
  lastUserText,
  modelProvider,
  outputsOfTurn,
} from '../../src/dev/model-server.js';
import { readListenerSecret, taskPassword } from '../../src/listener-secret.js';
import { readBlob } from '../../src/store/blobs.js';
import { insertSeed } from '../../src/store/seeds.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { until } from '../support/until.js';
import { hookWorkerOn, type Hooks } from './hook-worker.js';
import { useRealStack } from './real-stack.js';

quietRuntime();
const stack = useRealStack();
let connection: NativeConnection;

beforeAll(async () => {
  connection = await NativeConnection.connect({ address: stack.line.temporal.address });
});
afterAll(() => connection.close());

const hookWorker = (served: Hooks) => hookWorkerOn(stack.line.temporal.namespace, connection, served);

async function startTask(input: CodexTaskInput): Promise<TaskHandle> {
  const taskId = `hooks-${randomUUID()}`;
  const codexConfig = modelProvider(stack.model.url);
  await stack.client.start(taskId, { credential: { none: true }, codexConfig, ...input });
  return stack.client.handle(taskId);
}

async function eventsOf(task: TaskHandle): Promise<TaskEvent[]> {
  const events: TaskEvent[] = [];
  for await (const { event } of task.events()) events.push(event as unknown as TaskEvent);
  return events;
}

const ofType = (events: TaskEvent[], type: string) =>
  events.filter((event) => 'type' in event && event.type === type) as unknown as Record<string, unknown>[];

describe('a task with hooks', () => {
  it('runs hooks before and after, to decide, and to deliver until one accepts', async () => {
    const verdicts = ['the title is missing', null];
    const caller = hookWorker({
      beforeExecute: async () => undefined,
      afterExecute: async () => null,
      onPermissionRequest: async () => ({ behavior: 'allow' }),
      onDeliverable: async () => verdicts.shift(),
      onCallerMessage: async () => 'the colour is blue',
    });
    await caller.start();
    stack.play((request) => {
      const text = lastUserText(request);
      const isNew = outputsOfTurn(request).length === 0;
      if (text === 'write a report' && isNew)
        return [
          commandCall(
            `echo draft > deliverables/report.md; printf 'STATUS: 50%% half\\nDELIVERABLE: deliverables/report.md\\n' >> optio.log; echo 'CALLER_MESSAGE: colour {"q":1}' >> optio.log`,
          ),
        ];
      if (text.startsWith('System: deliverable report.md') && isNew)
        // In one command: codex runs those of one answer side by side.
        return [
          commandCall(
            'echo "# Title" > deliverables/report.md; printf "DELIVERABLE: deliverables/report.md\\nDONE\\n" >> optio.log',
            { escalated: true, justification: 'test' },
          ),
        ];
      return [assistantMessage(`heard ${text}`)];
    });
    const task = await startTask({
      prompt: 'write a report',
      mode: 'conversation',
      hostProtocol: true,
      hooks: caller.hooks,
    });
    const result = await task.result();
    const { taskId } = task;
    const file = { path: 'deliverables/report.md', contentType: 'text/markdown; charset=utf-8', taskId };
    expect(caller.named('onDeliverable')).toEqual([
      expect.objectContaining({ ...file, bytes: 6 }),
      expect.objectContaining({ ...file, bytes: 8 }),
    ]);
    const [, last] = caller.named('onDeliverable') as { blobId: string; sha256: string }[];
    expect((await readBlob(stack.store, last!.blobId)).toString()).toBe('# Title\n');
    expect(result).toMatchObject({ outcome: 'completed' });
    expect(result.deliverables).toEqual([
      { path: file.path, bytes: 8, sha256: last!.sha256, contentType: file.contentType },
    ]);
    expect(caller.calls[0]).toEqual({ name: 'beforeExecute', argument: { taskId } });
    expect(caller.calls.at(-1)).toEqual({ name: 'afterExecute', argument: { taskId, outcome: 'completed' } });
    expect(caller.named('onCallerMessage')).toEqual([{ taskId, keyword: 'colour', message: { q: 1 } }]);
    expect(caller.named('onPermissionRequest')).toEqual([
      { taskId, request: expect.objectContaining({ kind: 'command' }) as unknown },
    ]);
    const texts = new Set(stack.model.requests.map(lastUserText));
    expect(texts).toContain('System: deliverable report.md: the title is missing');
    expect(texts).toContain('System: the colour is blue');
    const events = await eventsOf(task);
    expect(ofType(events, 'x-optio-deliverable')).toHaveLength(2);
    expect(ofType(events, 'x-optio-permission-answered')).toMatchObject([{ decidedBy: 'hook' }]);
    expect(ofType(events, 'x-optio-status')).toMatchObject([{ percent: 50, text: 'half' }]);
    expect(await task.status()).toMatchObject({ progress: { percent: 50 } });
  });

  it('waits for a hook worker that starts late, and names it', async () => {
    const caller = hookWorker({ beforeExecute: async () => undefined });
    stack.play(() => [assistantMessage('done')]);
    const before = stack.model.requests.length;
    const task = await startTask({ prompt: 'late', hooks: caller.hooks });
    const said = `waiting for hook beforeExecute on ${caller.taskQueue}`;
    await until('the wait', async () => (await task.status()).waitingFor === said);
    await until(
      'a warning',
      async () => (await task.status()).warnings.some((text) => text.includes('beforeExecute')),
      20_000,
    );
    expect(stack.model.requests.length).toBe(before);
    await caller.start();
    expect(await task.result()).toMatchObject({ outcome: 'completed', finalMessage: 'done' });
    expect((await task.status()).waitingFor).toBeUndefined();
    expect(caller.calls).toHaveLength(1);
  });

  it('takes its seed from a hook, names it to another and resumes with a third’s input', async () => {
    const authJson = Buffer.from(JSON.stringify({ OPENAI_API_KEY: 'sk-test-of-no-value' }));
    const seedId = await insertSeed(stack.store, { authJson });
    const caller = hookWorker({
      seedProvider: async () => seedId,
      onSeedSaved: async () => undefined,
      onResumeRefresh: async ({ input }) => ({ instructions: `${input.instructions} Speak Latin.` }),
    });
    await caller.start();
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall('cat resume.log; ls AGENTS.md')]
        : [assistantMessage(`read ${outputsOfTurn(request).join('')}`)],
    );
    const { seedProvider, onSeedSaved, onResumeRefresh } = caller.hooks as Required<typeof caller.hooks>;
    const key = `diary-${randomUUID()}`;
    const first = await startTask({
      prompt: 'day one',
      credential: { pool: 'of-nobody' },
      snapshot: { key },
      hooks: { seedProvider, onSeedSaved },
    });
    const before = await first.result();
    expect(before.capturedSeedId).toBe(seedId);
    expect(caller.named('onSeedSaved')).toEqual([{ taskId: first.taskId, seedId, info: null }]);
    const resume = { snapshotKey: key };
    const hooks = { seedProvider, onResumeRefresh };
    const second = await startTask({ prompt: 'day two', instructions: 'Be brief.', resume, hooks });
    const after = await second.result();
    expect(after.threadId).toBe(before.threadId);
    // A line for each start; the text of the host is no file of the workdir.
    expect(after.finalMessage?.match(/^\d{4}-.*Z$/gm)).toHaveLength(2);
    expect(after.finalMessage).toMatch(/AGENTS\.md.*No such file/);
    // Codex takes the new AGENTS.md for a thread that it goes on with too.
    const told = stack.model.requests.find((request) => lastUserText(request) === 'day two');
    expect(JSON.stringify(told?.body['input'])).toContain('Speak Latin.');
    expect(caller.named('seedProvider')).toEqual([{ taskId: first.taskId }, { taskId: second.taskId }]);
  });

  it('acts once on each line of the log when the worker is killed in between', async () => {
    let answer: (text: null) => void = () => undefined;
    const held = new Promise<null>((resolve) => (answer = resolve));
    const caller = hookWorker({ onDeliverable: () => held, onUpload: async () => null });
    await caller.start();
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [
            commandCall(
              'echo one > deliverables/a.txt; printf "STATUS: 1%% one\\nDELIVERABLE: deliverables/a.txt\\n" >> optio.log',
            ),
          ]
        : [assistantMessage('delivered')],
    );
    // Of mode `task`: its turn is over, and it waits for the hook.
    const task = await startTask({ prompt: 'deliver', hostProtocol: true, hooks: caller.hooks });
    await until('the hook', () => caller.named('onDeliverable').length === 1);
    await until('the turn over', async () => (await task.status()).turns === 1);
    await stack.endWorker('SIGKILL');
    answer(null);
    const result = await task.result();
    expect(result).toMatchObject({ outcome: 'completed', turns: 1, finalMessage: 'delivered' });
    expect(result.deliverables).toMatchObject([{ path: 'deliverables/a.txt', bytes: 4 }]);
    expect(caller.named('onDeliverable')).toHaveLength(1);
    const events = await eventsOf(task);
    expect(ofType(events, 'x-optio-status')).toHaveLength(1);
    expect(ofType(events, 'x-optio-deliverable')).toHaveLength(1);
  });

  it('starts from its instructions without a prompt, and warns of no confinement', async () => {
    stack.play((request) => [assistantMessage(`heard ${lastUserText(request)}`)]);
    const task = await startTask({
      instructions: 'Say hello.',
      sandbox: { mode: 'danger-full-access' },
    });
    const result = await task.result();
    expect(result.finalMessage).toBe('heard Read AGENTS.md and execute the task it describes');
    expect((await task.status()).warnings).toContainEqual(expect.stringContaining('not confined'));
    expect(ofType(await eventsOf(task), 'x-optio-warning')).toMatchObject([
      { message: expect.stringContaining('danger-full-access') as unknown },
    ]);
  });

  it('reports an upload to the caller', async () => {
    const caller = hookWorker({ onUpload: async () => null });
    await caller.start();
    stack.play(() => [assistantMessage('done')]);
    const task = await startTask({ mode: 'conversation', hooks: caller.hooks });
    await until('a session', async () => (await task.status()).state === 'idle');
    const form = new FormData();
    form.append('file', new Blob(['hello']), 'a.txt');
    const { listener } = await task.status();
    const password = taskPassword(await readListenerSecret(stack.line.dataDir), task.taskId);
    const authorization = `Basic ${Buffer.from(`optio:${password}`).toString('base64')}`;
    await fetch(`${listener!.url}/upload`, { method: 'POST', body: form, headers: { authorization } });
    await until('the hook', () => caller.calls.length === 1);
    expect(caller.named('onUpload')).toEqual([{ taskId: task.taskId, path: 'uploads/a.txt', bytes: 5 }]);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed' });
  });

  it('refuses a setting that codex does not know, and names it', async () => {
    const task = await startTask({
      prompt: 'x',
      codexConfig: { ...modelProvider(stack.model.url), no_such_setting: true },
    });
    await expect(task.result()).rejects.toThrow(/codexConfig\.no_such_setting/);
  });
});
