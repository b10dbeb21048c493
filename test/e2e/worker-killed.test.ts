import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import {
  assistantMessage,
  commandCall,
  hold,
  lastUserText,
  outputsOfTurn,
  requestsFor,
} from '../../src/dev/model-server.js';
import { isAlive } from '../../src/process/process-identity.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { until } from '../support/until.js';
import { saveHistory } from '../workflows/histories.js';
import { useRealStack } from './real-stack.js';
import { askedAnew, asksFor, openRequest, realTasks, wholeStream } from './real-tasks.js';

const stack = useRealStack();

/** So much takes seconds to save. */
const BIG_BYTES = 40_000_000;

const { start: startTask, processOf, seedInfo, expectPutBack } = realTasks(() => stack);

const ledgerOf = ({ taskId }: TaskHandle): Promise<string> =>
  readFile(join(stack.line.dataDir, 'tasks', taskId, 'journal/ledger.jsonl'), 'utf8');

describe('a worker that is killed and comes back', () => {
  it('keeps an open approval: the request is decided once and its command runs once', async () => {
    stack.play(asksFor('echo run >> runs.txt; cat runs.txt'));
    const { task, seedId } = await startTask({ prompt: 'approval across a kill' });
    const before = await openRequest(task);
    const codex = await processOf(task);
    const stream = wholeStream(task);
    await stack.endWorker('SIGKILL');
    expect(await isAlive(codex)).toBe(true);
    const after = await openRequest(task);
    expect(after.requestId).toBe(before.requestId);
    await task.decide({ requestId: before.requestId, behavior: 'allow' });
    const result = await task.result();
    expect(result).toMatchObject({ outcome: 'completed', turns: 1 });
    expect(result.finalMessage?.match(/run/g)).toHaveLength(1);
    const { ids, events } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    const asked = events.filter(({ method }) => method === 'item/commandExecution/requestApproval');
    expect(asked.map(({ id }) => id)).toEqual([before.requestId]);
    expect(events.filter(({ type }) => type === 'x-optio-permission-answered')).toHaveLength(1);
    expect(requestsFor(stack.model.requests, 'approval across a kill')).toHaveLength(2);
    await expectPutBack(task, seedId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-worker-killed-approval');
  });

  it('catches up on a turn that ended during its absence, and sends no message twice', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    stack.play((request) =>
      lastUserText(request) === 'think long'
        ? [hold(held), assistantMessage('thought')]
        : [assistantMessage('next')],
    );
    const { task, seedId } = await startTask({ prompt: 'think long', mode: 'conversation' });
    await until('the turn', () => requestsFor(stack.model.requests, 'think long').length > 0);
    await task.sendMessage('and then', { messageId: 'queued' });
    await until('the queued message', async () => (await ledgerOf(task)).includes('queued'));
    const { isBack } = await stack.signalWorker('SIGKILL');
    release();
    await isBack();
    await until('both turns', async () => (await task.status().catch(() => null))?.turns === 2);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2, finalMessage: 'next' });
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    const ended = events.filter(({ method }) => method === 'turn/completed');
    expect(ended).toHaveLength(2);
    const texts = events
      .filter(({ method }) => method === 'item/completed')
      .map(({ params }) => (params as { item: { type: string; text?: string } }).item)
      .filter(({ type }) => type === 'agentMessage')
      .map(({ text }) => text);
    expect(texts).toEqual(['thought', 'next']);
    expect(requestsFor(stack.model.requests, 'think long')).toHaveLength(1);
    expect(requestsFor(stack.model.requests, 'and then')).toHaveLength(1);
    await expectPutBack(task, seedId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-worker-killed-turn');
  });

  it('decides by the rules that the task was given before', async () => {
    const command = (n: number) => commandCall(`touch ruled-${n}`, { escalated: true, justification: 'x' });
    stack.play((request) => {
      const done = outputsOfTurn(request).length;
      return done < 2 ? [command(done)] : [assistantMessage('both ran')];
    });
    const { task } = await startTask({ mode: 'conversation', prompt: 'rules across a kill' });
    const turns = (count: number) =>
      until(`${count} turns`, async () => (await task.status().catch(() => null))?.turns === count);
    const open = await openRequest(task);
    const { ruleId } = await task.rules.add({ commandPrefix: ['touch', 'ruled-0'], then: 'allow' });
    await until('the second request', async () => {
      const next = (await task.status()).pending[0];
      return next !== undefined && next.requestId !== open.requestId;
    });
    await task.rules.add({ kind: 'command', then: 'allow' });
    await turns(1);
    await stack.endWorker('SIGKILL');
    expect((await task.rules.list()).map(({ rule }) => rule.then)).toEqual(['allow', 'allow']);
    await task.sendMessage('again');
    await turns(2);
    expect((await task.status()).decidedByRule).toEqual({ allow: 4, deny: 0 });
    await task.rules.remove(ruleId);
    await expect(task.rules.add({ kind: 'command', pattern: '(', then: 'allow' })).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('pattern: expected a regular expression') as string,
    });
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed' });
  });

  it('ends a task that was closed, though no worker saw its turn end', async () => {
    stack.play(() => [hold(new Promise(() => undefined))]);
    const { task, seedId } = await startTask({ prompt: 'never answered', mode: 'conversation' });
    await until('the turn', () => requestsFor(stack.model.requests, 'never answered').length > 0);
    const { pid } = await processOf(task);
    process.kill(pid, 'SIGSTOP');
    await task.close();
    await until('the close on its host', async () => (await ledgerOf(task)).includes('{"t":"close"}'));
    const { isBack } = await stack.signalWorker('SIGKILL');
    process.kill(pid, 'SIGCONT');
    await isBack();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 0 });
    await expectPutBack(task, seedId);
  });

  it('reverts the broken turn and sends its message again once when codex died too', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    stack.play(() => {
      const wait = first ? [hold(held)] : [];
      first = false;
      return [...wait, assistantMessage('answered')];
    });
    const { task, seedId } = await startTask({ prompt: 'both die' });
    await until('the turn', () => requestsFor(stack.model.requests, 'both die').length > 0);
    const codex = await processOf(task);
    process.kill(codex.pid, 'SIGKILL');
    await stack.endWorker('SIGKILL');
    release();
    expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 1, finalMessage: 'answered' });
    const requests = requestsFor(stack.model.requests, 'both die');
    expect(requests).toHaveLength(2);
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.filter(({ method }) => method === 'turn/started')).toHaveLength(2);
    expect(events.filter(({ method }) => method === 'turn/completed')).toHaveLength(2);
    await expectPutBack(task, seedId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-worker-and-codex-killed');
  });
});

describe('a worker that is killed while it ends a task', () => {
  it('leaves the rest to the next one, which saves the workdir and ends the streams once', async () => {
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall(`head -c ${BIG_BYTES} /dev/urandom > big`)]
        : [assistantMessage('made it')],
    );
    const { task, seedId } = await startTask({ prompt: 'a workdir that takes long to save' });
    const stream = wholeStream(task);
    await until('a leased seed', async () => (await seedInfo(seedId))?.leased === true);
    // The lease is given back right before the snapshot.
    await until('a free seed', async () => (await seedInfo(seedId))?.leased === false, 60_000);
    await stack.endWorker('SIGKILL');
    const result = await task.result();
    expect(result).toMatchObject({ outcome: 'completed', turns: 1, finalMessage: 'made it' });
    const snapshots = await listSnapshots(stack.store, task.taskId);
    expect(snapshots.map(({ id }) => id)).toContain(result.snapshotId);
    const { ids, events } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.map(({ type }) => type).filter((type) => type === 'x-optio-closed')).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ type: 'x-optio-closed', outcome: 'completed' });
    await expectPutBack(task, seedId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-worker-killed-at-the-end');
  });
});

describe('a worker that is stopped and started again', () => {
  it('repeats the interrupted turn, asks for approval again and resends its message', async () => {
    stack.play(asksFor('echo again', 'went on'));
    const { task, seedId } = await startTask({ prompt: 'stopped in the middle' });
    const before = await openRequest(task);
    const codex = await processOf(task);
    await stack.endWorker('SIGTERM');
    expect(await isAlive(codex)).toBe(false);
    const after = await askedAnew(task, before);
    await expect(task.decide({ requestId: before.requestId, behavior: 'allow' })).rejects.toThrow('settled');
    await task.decide({ requestId: after.requestId, behavior: 'allow' });
    expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 1, finalMessage: 'went on' });
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    const answered = events.filter(({ type }) => type === 'x-optio-permission-answered');
    expect(answered.map(({ request_id }) => request_id)).toEqual([before.requestId, after.requestId]);
    expect(requestsFor(stack.model.requests, 'stopped in the middle')).toHaveLength(3);
    await expectPutBack(task, seedId);
    await saveHistory(stack.temporal.client, task.taskId, 'real-worker-stopped');
  });
});
