import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  assistantMessage,
  commandCall,
  hold,
  lastUserText,
  outputsOfTurn,
  requestsFor,
} from '../../src/dev/model-server.js';
import { isAlive } from '../../src/process/process-identity.js';
import { putBlob } from '../../src/store/blobs.js';
import { seedsOf } from '../../src/store/collections.js';
import { until } from '../support/until.js';
import { runHere } from '../cli/run-here.js';
import { saveHistory } from '../workflows/histories.js';
import { useRealStack } from './real-stack.js';
import { asksFor, openRequest, realTasks } from './real-tasks.js';

const stack = useRealStack();

const { start, processOf, seedInfo } = realTasks(() => stack);

/** The collections of which a document names the task. */
async function naming(taskId: string): Promise<string[]> {
  const found: string[] = [];
  for (const collection of await stack.store.db.collections())
    for (const document of await collection.find().project({ data: 0 }).toArray())
      if (JSON.stringify(document).includes(taskId)) found.push(collection.collectionName);
  return [...new Set(found)].sort();
}

const PREFIX = 'optio_codex_';

describe('a task on real parts', () => {
  it('asks on the stream, runs what is allowed by HTTP, and cleans up', async () => {
    stack.play(asksFor('echo written > made.txt; cat made.txt'));
    const { task, seedId } = await start(
      { prompt: 'make a file', captureSeed: { pool: 'whole', metadata: { made: true } } },
      'whole',
    );
    const { url, password } = await until('the listener', () => task.listener().catch(() => null));
    const events: Record<string, unknown>[] = [];
    const ids: number[] = [];
    for await (const { id, name, event } of task.events()) {
      ids.push(id);
      events.push({ ...event });
      if (name !== 'item/commandExecution/requestApproval') continue;
      const answer = await fetch(`${url}/permission`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`optio:${password}`).toString('base64')}` },
        body: JSON.stringify({ request_id: event.id, behavior: 'allow' }),
      });
      expect(answer.status).toBe(200);
    }
    const result = await task.result();
    expect(result).toMatchObject({
      outcome: 'completed',
      turns: 1,
      capturedSeedId: seedId,
      usage: { totalTokens: expect.any(Number) as number },
    });
    expect(result.finalMessage).toContain('saw ');
    expect(result.finalMessage).toContain('written');
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.at(-1)).toMatchObject({ type: 'x-optio-closed', outcome: 'completed' });
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'x-optio-permission-answered', behavior: 'allow', decidedBy: 'http' }),
    );
    expect(requestsFor(stack.model.requests, 'make a file')).toHaveLength(2);
    expect(await seedInfo(seedId)).toMatchObject({ leased: false, metadata: { made: true } });
    await expect(access(join(stack.line.dataDir, 'tasks', task.taskId))).rejects.toThrow('ENOENT');
    await saveHistory(stack.temporal.client, task.taskId, 'real-permission-by-http');
  });

  it('takes messages by signal and HTTP in order and ends by close', async () => {
    stack.play((request) => [assistantMessage(`heard ${lastUserText(request)}`)]);
    const { task } = await start({ mode: 'conversation', prompt: 'one' });
    const turns = (count: number) =>
      until(`${count} turns`, async () => (await task.status()).turns === count);
    await turns(1);
    await task.sendMessage('two', { messageId: 'm2' });
    await task.sendMessage('two', { messageId: 'm2' });
    await turns(2);
    const { url, password } = await task.listener();
    const sent = await fetch(`${url}/send`, {
      method: 'POST',
      headers: { authorization: `Bearer ${password}` },
      body: JSON.stringify({ text: 'three', messageId: 'm3' }),
    });
    expect(await sent.json()).toEqual({ ok: true, messageId: 'm3' });
    await turns(3);
    expect((await task.status()).state).toBe('idle');
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 3, finalMessage: 'heard three' });
    for (const text of ['one', 'two', 'three'])
      expect(stack.model.requests.filter((request) => lastUserText(request) === text)).toHaveLength(1);
    await saveHistory(stack.temporal.client, task.taskId, 'real-conversation-closed');
  });

  it('stops codex and frees the lease when cancelled with an approval open', async () => {
    stack.play(asksFor('true'));
    const { task, seedId } = await start({ prompt: 'wait for me' });
    await openRequest(task);
    const codex = await processOf(task);
    expect(await isAlive(codex)).toBe(true);
    await task.cancel();
    await expect(task.result()).rejects.toMatchObject({ code: 'Cancelled' });
    expect(await isAlive(codex)).toBe(false);
    expect(await seedInfo(seedId)).toMatchObject({ leased: false });
    expect(await readdir(join(stack.line.dataDir, 'tasks'))).not.toContain(task.taskId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-cancelled');
  });

  it('fails with LeaseLost, and ends codex, when another takes the seed', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    stack.play(() => [hold(held), assistantMessage('too late')]);
    const { task, seedId } = await start({ prompt: 'take long' }, 'lost');
    const codex = await until('codex', () => processOf(task).catch(() => null));
    await until('a running turn', () => requestsFor(stack.model.requests, 'take long').length > 0);
    const taken = { holder: 'another', expiresAt: new Date(Date.now() + 600_000) };
    await seedsOf(stack.store).updateOne({ poolKey: 'lost' }, { $set: { lease: taken } });
    await expect(task.result()).rejects.toMatchObject({ code: 'LeaseLost' });
    release();
    expect(await isAlive(codex)).toBe(false);
    expect(await seedInfo(seedId)).toMatchObject({ leased: true, holder: 'another' });
    await saveHistory(stack.temporal.client, task.taskId, 'real-lease-lost');
  });

  it('fails with NoCredential at once when the pool is empty', async () => {
    const taskId = `e2e-${randomUUID()}`;
    await stack.client.start(taskId, { prompt: 'x', credential: { pool: 'empty' } });
    await expect(stack.client.handle(taskId).result()).rejects.toMatchObject({
      code: 'NoCredential',
      message: expect.stringContaining('empty') as string,
    });
    await saveHistory(stack.temporal.client, taskId, 'real-no-credential');
  });

  it('shows the model its instructions, and the given files in the workdir', async () => {
    const blobId = await putBlob(stack.store, Buffer.from('given text'), { filename: 'given' });
    const asked = stack.model.requests.length;
    stack.play(asksFor('cat docs/given.txt'));
    const { task } = await start({
      prompt: 'read',
      instructions: 'Never say "never".',
      files: [{ path: 'docs/given.txt', blobId }],
      approvals: { policy: 'on-request', timeoutMs: 300, onTimeout: 'allow' },
    });
    const { finalMessage } = await task.result();
    const told = JSON.stringify(stack.model.requests[asked]?.body['input']);
    expect(told.includes('Never say \\"never')).toBe(true);
    expect(finalMessage).toContain('given text');
    await saveHistory(stack.temporal.client, task.taskId, 'real-permission-timeout');
  });

  it('resumes with the same thread and files, and shows the earlier turns first', async () => {
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall('echo first >> diary.txt')]
        : [assistantMessage(`answer to ${lastUserText(request)}`)],
    );
    const { task: first } = await start({
      prompt: 'day one',
      snapshot: { key: `diary-${randomUUID()}` },
    });
    const before = await first.result();
    expect(before.snapshotId).toMatch(/^[0-9a-f]{24}$/);

    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall('cat diary.txt resume.log')]
        : [assistantMessage(`read ${outputsOfTurn(request).join('')}`)],
    );
    const { task: second } = await start({
      prompt: 'day two',
      resume: { snapshotId: before.snapshotId! },
    });
    const events: Record<string, unknown>[] = [];
    for await (const { event } of second.events()) events.push({ ...event });
    const after = await second.result();
    expect(after.threadId).toBe(before.threadId);
    expect(after.finalMessage).toContain('first');
    const history = events.filter((event) => event['x-optio-history'] === true);
    expect(JSON.stringify(history)).toContain('day one');
    expect(JSON.stringify(history)).toContain('answer to day one');
    expect(events.indexOf(history.at(-1)!)).toBeLessThan(
      events.findIndex(
        (event) => event['method'] === 'turn/started' && event['x-optio-history'] === undefined,
      ),
    );
    expect(events.filter((event) => event['type'] === 'x-optio-closed')).toHaveLength(1);
    await saveHistory(stack.temporal.client, second.taskId, 'real-resumed');
  });

  it('fails with SnapshotUnreadable for an unknown snapshot, and releases the lease', async () => {
    const { task, seedId } = await start({
      prompt: 'x',
      resume: { snapshotId: 'f'.repeat(24) },
    });
    await expect(task.result()).rejects.toMatchObject({ code: 'SnapshotUnreadable' });
    expect(await seedInfo(seedId)).toMatchObject({ leased: false });
  });

  it('names the setting that codex refuses to start with, and leaves nothing', async () => {
    const { task } = await start({ prompt: 'x', codexConfig: { model_providers: 'none' } });
    await expect(task.result()).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('codexConfig.model_providers') as string,
    });
    expect(await readdir(join(stack.line.dataDir, 'tasks'))).not.toContain(task.taskId);
  });

  it('purges snapshot, events and blobs of an ended task, but not seed or other tasks', async () => {
    stack.play(() => [assistantMessage('done')]);
    const input = { prompt: 'go', snapshot: { checkpoint: 'turn' } } as const;
    const [{ task, seedId }, { task: other }] = [await start(input), await start(input)];
    const env = { ...stack.line.env, CODEX_TASK_DATA_DIR: stack.line.dataDir };
    for (const each of [task, other]) expect(await each.result()).toMatchObject({ outcome: 'completed' });
    const journal = join(stack.line.dataDir, 'ended', task.taskId);
    expect(existsSync(journal)).toBe(true);
    const kept = await naming(other.taskId);
    expect(kept).toContain('fs.files');
    expect(kept).toContain(`${PREFIX}session_snapshots`);

    const purged = await runHere(['purge', task.taskId, '--yes', '--json'], { env });
    expect(purged.stderr).toBe('');
    expect(purged.json()[0]).toMatchObject({ purged: true, folders: [journal] });
    expect(purged.json()[0]?.['snapshots']).not.toEqual([]);
    // The host is asked to forget what it may keep of it.
    expect((await naming(task.taskId)).filter((name) => name !== `${PREFIX}hosts`)).toEqual([]);
    expect(existsSync(journal)).toBe(false);
    expect(await naming(other.taskId)).toEqual(kept);
    expect(existsSync(join(stack.line.dataDir, 'ended', other.taskId))).toBe(true);
    expect(await seedInfo(seedId)).toMatchObject({ leased: false });
    expect((await runHere(['purge', task.taskId], { env })).stdout).toMatch(/^nothing is stored of/);
  });
});
