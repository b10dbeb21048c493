import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import { CODEX_TASK, DEFAULT_TASK_QUEUE } from '../../src/contract/index.js';
import { assistantMessage, lastUserText, modelProvider } from '../../src/dev/model-server.js';
import { isAlive, type ProcessIdentity } from '../../src/process/process-identity.js';
import { findSeedInfo } from '../../src/store/seed-info.js';
import { holderOf } from '../../src/store/holders.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { findAssignment } from '../../src/store/assignments.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { until } from '../support/until.js';
import { saveHistory } from '../workflows/histories.js';
import { startHost, type ExtraHost } from './extra-host.js';
import { useRealStack } from './real-stack.js';
import { inState, realTasks } from './real-tasks.js';

const stack = useRealStack();
const { start, newSeed } = realTasks(() => stack);

const said = () =>
  stack.play((request) => [assistantMessage(`said: ${lastUserText(request)?.slice(0, 40)}`)]);
const conversation = () => ({ mode: 'conversation', codexConfig: modelProvider(stack.model.url) }) as const;

const idleAfter = (task: TaskHandle, turns: number) =>
  until(`${turns} turns`, async () => {
    const status = await task.status();
    return status.state === 'idle' && status.turns >= turns;
  });

/** The processes of codex for this task on both hosts, looked at from outside. */
async function codexes(taskId: string, other: ExtraHost): Promise<number> {
  const record = await readFile(taskFolder(stack.line.dataDir, taskId).processJson, 'utf8').catch(() => null);
  const here = record !== null && (await isAlive(JSON.parse(record) as ProcessIdentity));
  return Number(here) + Number((await other.codexOf(taskId)) !== null);
}

describe('the single assignment of a task', () => {
  it('keeps its session after a reset, though another host has room', async () => {
    said();
    const { task, seedId } = await start({ ...conversation(), prompt: 'before' });
    await idleAfter(task, 1);
    const assignment = await findAssignment(stack.store, task.taskId);
    const other = await startHost(stack);
    onTestFinished(() => other.close());
    const most = { seen: 0 };
    const looking = setInterval(
      () => void codexes(task.taskId, other).then((seen) => (most.seen = Math.max(most.seen, seen))),
      100,
    );
    onTestFinished(() => clearInterval(looking));

    const { client } = stack.temporal;
    const { events } = await client.workflow.getHandle(task.taskId).fetchHistory();
    const first = events!.find((event) => event.workflowTaskCompletedEventAttributes);
    await client.workflowService.resetWorkflowExecution({
      namespace: stack.line.temporal.namespace,
      workflowExecution: { workflowId: task.taskId },
      reason: 'test',
      workflowTaskFinishEventId: first!.eventId!,
      requestId: 'reset',
    });
    await idleAfter(task, 1);
    expect(await findAssignment(stack.store, task.taskId)).toEqual(assignment);
    expect(await findSeedInfo(stack.store, seedId)).toMatchObject({
      leased: true,
      holder: holderOf(assignment!),
    });
    await task.sendMessage('after');
    await idleAfter(task, 2);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', finalMessage: 'said: after', turns: 2 });
    expect(most.seen).toBe(1);
    expect(await findAssignment(stack.store, task.taskId)).toBeNull();
    expect(await listSnapshots(stack.store, task.taskId)).toMatchObject([{ endState: 'done' }]);
    await saveHistory(stack.temporal.client, task.taskId, 'real-reset');
  });

  it('starts again at once under the same id, on the seed of the terminated run', async () => {
    said();
    const pool = 'one seed';
    await newSeed(pool);
    const taskId = 'again/1';
    const input = { ...conversation(), credential: { pool } };
    await stack.client.start(taskId, input);
    const task = stack.client.handle(taskId);
    await inState(task, 'idle');
    await task.sendMessage('one');
    await idleAfter(task, 1);
    const before = await findAssignment(stack.store, taskId);
    await stack.temporal.client.workflow.getHandle(taskId).terminate('test');
    await stack.client.start(taskId, input);
    await inState(task, 'idle');
    const { events } = await stack.temporal.client.workflow.getHandle(taskId).fetchHistory();
    expect(events!.length).toBeLessThan(150);
    const after = await findAssignment(stack.store, taskId);
    expect(after?.assignmentId).not.toBe(before?.assignmentId);
    // What the first run did was saved as its end before the second began.
    expect(await listSnapshots(stack.store, taskId)).toMatchObject([{ endState: 'failed' }]);
    await task.close();
    await task.result();
    expect((await listSnapshots(stack.store, taskId)).map(({ endState }) => endState)).toEqual([
      'done',
      'failed',
    ]);
  });
});

describe('ids of every kind', () => {
  it.each(['ticket/123', '..', '%2F', '夜 🌙', 'x'.repeat(1_000)])(
    'a task named %j runs, and its listener answers where it says',
    async (taskId) => {
      said();
      await stack.client.start(taskId, { ...conversation(), credential: { none: true } });
      const task = stack.client.handle(taskId);
      await inState(task, 'idle');
      const { url } = await task.listener();
      expect(url.startsWith(`${stack.line.listenerUrl}/tasks/`)).toBe(true);
      // Over HTTP: too large for a signal.
      await task.sendMessage(`hello ${'x'.repeat(70_000)}`);
      await idleAfter(task, 1);
      await task.close();
      expect(await task.result()).toMatchObject({ taskId, outcome: 'closed', turns: 1 });
      const reasons: unknown[] = [];
      for await (const { event } of task.events()) reasons.push('reason' in event && event.reason);
      expect(reasons.at(-1)).toBe('closed');
      expect(await listSnapshots(stack.store, taskId)).toHaveLength(1);
    },
  );

  it('a Schedule starts a task', async () => {
    said();
    const { client } = stack.temporal;
    const schedule = await client.schedule.create({
      scheduleId: 'nightly',
      spec: { intervals: [{ every: '1h' }] },
      action: {
        type: 'startWorkflow',
        workflowType: CODEX_TASK,
        workflowId: 'nightly',
        taskQueue: stack.line.env['CODEX_TASK_QUEUE'] ?? DEFAULT_TASK_QUEUE,
        args: [
          { prompt: 'scheduled', credential: { none: true }, codexConfig: modelProvider(stack.model.url) },
        ],
      },
    });
    onTestFinished(() => schedule.delete());
    await schedule.trigger();
    let taskId = '';
    await until('its run', async () => {
      const { info } = await schedule.describe();
      taskId = info.recentActions[0]?.action.workflow.workflowId ?? '';
      return taskId !== '';
    });
    expect(taskId).toMatch(/^nightly-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(await stack.client.handle(taskId).result()).toMatchObject({ taskId, outcome: 'completed' });
  });
});
