import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { postToListener } from '../../src/client/listener.js';
import { assistantMessage, commandCall, outputsOfTurn, requestsFor } from '../../src/dev/model-server.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { partsOf } from '../../src/store/task-state.js';
import { until } from '../support/until.js';
import { seedOf } from '../store/support.js';
import { saveHistory } from '../workflows/histories.js';

import {
  stack,
  host,
  startTask,
  expiryOf,
  runsOn,
  checkpointed,
  expectOneGap,
  agentTexts,
  holdFirst,
  turnAsked,
} from './lost-hosts.js';
import { wholeStream } from './real-tasks.js';

describe('a host that is lost for good', () => {
  it('loses its task to another, which continues from the checkpoint and answers once', async () => {
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
    await saveHistory(stack.temporal.client, task.taskId, 'real-host-lost');
  }, 240_000);

  it('loses its open request, which is answered as lost and asked again', async () => {
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
    expect(events[0]).toMatchObject({ type: 'x-optio-gap', from: 1, to: 9_999 });
    expect(ids[0]).toBe(10_000);
    const answered = events.filter(({ type }) => type === 'x-optio-permission-answered');
    expect(answered.map(({ request_id }) => request_id)).toEqual([asked.requestId, again.requestId]);
    await saveHistory(stack.temporal.client, task.taskId, 'real-host-lost-approval');
  }, 240_000);
});

describe('a host that moves its tasks', () => {
  it('hands a task to another host at the end of its turn, whole and without a gap', async () => {
    const first = await host({ CODEX_TASK_DRAIN: 'move', CODEX_TASK_LOG: 'info' });
    const { release } = holdFirst('long turn');
    const { task, seedId } = await startTask({ prompt: 'long turn' });
    const stream = wholeStream(task);
    await turnAsked('long turn');
    const { threadId } = await task.status();
    const codex = await first.codexOf(task.taskId);
    const other = await host();
    first.signal('SIGTERM');
    await task.sendMessage('next turn', { messageId: 'm2' });
    await until('a draining host', () => first.log().includes('worker.drains'));
    // Its turn ends where it began.
    expect(await first.codexOf(task.taskId)).toEqual(codex);
    release();
    await runsOn(task, other);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    expect(await task.status()).toMatchObject({ host: other.hostId, threadId });
    expect(await first.tasks()).toEqual([]);
    // Nothing is left there: its right ends with it.
    await until('the end of its right', async () => (await expiryOf(first)) <= Date.now());
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2 });
    const { ids, events } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(agentTexts(events)).toEqual(['answer to long turn', 'answer to next turn']);
    for (const said of ['long turn', 'next turn'])
      expect(requestsFor(stack.model.requests, said)).toHaveLength(1);
    expect((await seedOf(stack.store, seedId)).lease).toBeFalsy();
    await saveHistory(stack.temporal.client, task.taskId, 'real-host-moved');
  }, 180_000);
});
