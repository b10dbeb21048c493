import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import { assistantMessage, commandCall, hold, requestsFor } from '../../src/dev/model-server.js';
import { isAlive, startTimeOf } from '../../src/process/process-identity.js';
import { readSeed } from '../../src/store/seeds.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';
import { askedAnew, asksFor, inState, openRequest, realTasks, wholeStream } from './real-tasks.js';

const stack = useRealStack();

const { start, processOf, expectPutBack } = realTasks(() => stack);

/** Kills the task's codex; resolves with the next one. */
async function killCodex(task: TaskHandle): Promise<{ pid: number }> {
  const before = await processOf(task);
  process.kill(before.pid, 'SIGKILL');
  return until('another codex', async () => {
    const now = await processOf(task).catch(() => before);
    return now.pid !== before.pid && now;
  });
}

const ofType = (events: Record<string, unknown>[], name: string) =>
  events.filter(({ type, method }) => type === name || method === name);

describe('a Codex that is killed while its worker lives', () => {
  it('continues the task on a new thread when killed before its first turn', async () => {
    stack.play(() => [assistantMessage('hello')]);
    const { task, seedId } = await start({ mode: 'conversation' });
    await inState(task, 'idle');
    await killCodex(task);
    await inState(task, 'idle');
    await task.sendMessage('say hello');
    await until('the turn', async () => (await task.status()).turns === 1);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 1, finalMessage: 'hello' });
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    const said = ofType(events, 'x-optio-recovering').map(({ reason }) => reason);
    expect(said).toEqual([expect.stringMatching(/was ended by SIGKILL/)]);
    await expectPutBack(task, seedId);
  });

  it('continues the thread with what was said before when killed while idle', async () => {
    stack.play((_request, n) => [assistantMessage(`answer ${n}`)]);
    const { task, seedId } = await start({ mode: 'conversation', prompt: 'first question' });
    await until('the turn', async () => (await task.status().catch(() => null))?.turns === 1);
    const { threadId } = await task.status();
    await killCodex(task);
    await task.sendMessage('second question');
    await until('the second turn', async () => (await task.status()).turns === 2);
    expect((await task.status()).threadId).toBe(threadId);
    await task.close();
    await task.result();
    const asked = requestsFor(stack.model.requests, 'second question');
    expect(asked).toHaveLength(1);
    expect(JSON.stringify(asked[0])).toContain('first question');
    const { ids } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    await expectPutBack(task, seedId);
  });

  it('loses its turn, whose message is sent again, and has its token saved', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let n = 0;
    stack.play(() => {
      if (++n === 1)
        return [
          commandCall(
            // Codex kills what has not left the command's process group by its end.
            "setsid sh -c 'echo $$ > pid; exec sleep 987' > /dev/null 2>&1 & until [ -s pid ]; do sleep 0.01; done",
          ),
        ];
      return n === 2 ? [hold(held)] : [assistantMessage('answered')];
    });
    const { task, seedId } = await start({
      prompt: 'dies in its turn',
      mode: 'conversation',
      sandbox: { mode: 'danger-full-access' },
    });
    const asked = () => requestsFor(stack.model.requests, 'dies in its turn').length;
    await until('the turn', () => asked() === 2);
    const folder = join(stack.line.dataDir, 'tasks', task.taskId);
    const sleeper = await startTimeOf(Number(await readFile(join(folder, 'work/pid'), 'utf8')));
    expect(sleeper).toBeDefined();
    const stream = wholeStream(task);
    const rotated = JSON.stringify({ OPENAI_API_KEY: `sk-${randomUUID()}` });
    await writeFile(join(folder, 'home/.codex/auth.json'), rotated);
    await killCodex(task);
    expect((await readSeed(stack.store, seedId))?.authJson?.toString()).toBe(rotated);
    expect(await startTimeOf(Number(await readFile(join(folder, 'work/pid'), 'utf8')))).toBeUndefined();
    await until('the turn', async () => (await task.status().catch(() => null))?.turns === 1);
    release();
    await task.close();
    expect(await task.result()).toMatchObject({ turns: 1, finalMessage: 'answered' });
    expect(asked()).toBe(3);
    const { ids, events } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(ofType(events, 'turn/started')).toHaveLength(2);
    const ended = ofType(events, 'turn/completed').map(({ params }) => (params as Turned).turn.status);
    expect(ended).toEqual(['interrupted', 'completed']);
    await expectPutBack(task, seedId);
  });

  it('loses an open approval, which is asked again', async () => {
    stack.play(asksFor('echo again', 'went on'));
    const { task, seedId } = await start({ prompt: 'approval of a dead codex' });
    const before = await openRequest(task);
    await killCodex(task);
    const after = await askedAnew(task, before);
    await expect(task.decide({ requestId: before.requestId, behavior: 'allow' })).rejects.toThrow('settled');
    await task.decide({ requestId: after.requestId, behavior: 'allow' });
    expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 1, finalMessage: 'went on' });
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(ofType(events, 'x-optio-permission-answered')).toMatchObject([
      { request_id: before.requestId, behavior: 'deny', decidedBy: 'app-server-ended' },
      { request_id: after.requestId, behavior: 'allow' },
    ]);
    await expectPutBack(task, seedId);
  });

  it('fails the task after three ends without a completed turn, and shows why', async () => {
    stack.play(() => [hold(new Promise(() => undefined))]);
    const { task, seedId } = await start({ prompt: 'dies thrice', mode: 'conversation' });
    const turns = (count: number) =>
      until('the turn', () => requestsFor(stack.model.requests, 'dies thrice').length === count);
    const stream = wholeStream(task);
    await turns(1);
    await killCodex(task);
    await turns(2);
    await killCodex(task);
    await turns(3);
    await stack.endWorker('SIGKILL');
    await inState(task, 'running');
    const last = await processOf(task);
    process.kill(last.pid, 'SIGKILL');
    await expect(task.result()).rejects.toMatchObject({
      code: 'CodexFailed',
      message: expect.stringMatching(/3 times in a row/) as string,
    });
    expect(await isAlive({ ...last })).toBe(false);
    const { ids, events } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(ofType(events, 'x-optio-recovering')).toHaveLength(2);
    const ended = ofType(events, 'turn/completed').map(({ params }) => (params as Turned).turn.status);
    expect(ended).toEqual(['interrupted', 'interrupted', 'interrupted']);
    await expectPutBack(task, seedId);
  });
});

interface Turned {
  turn: { status: string };
}
