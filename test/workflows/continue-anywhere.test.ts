import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/activity';
import { describe, expect, it } from 'vitest';
import { Worker } from '@temporalio/worker';
import {
  hookRequestedSignal,
  permissionRequestedSignal,
  sendMessageSignal,
  stateQuery,
  type CodexTaskInput,
  type HookName,
} from '../../src/contract/index.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runLongTask } from './long-task.js';
import { useTemporal, type Handle } from './run-task.js';
import { ended, report, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);

/** Sends what grows a history until a task is in another run. */
async function untilNextRun(handle: Handle): Promise<void> {
  const { runId } = await handle.describe();
  for (let i = 0; (await handle.describe()).runId === runId; i++) {
    if (i > 300) throw new Error('the run goes on');
    await handle.signal(sendMessageSignal, { messageId: randomUUID(), text: 'x' });
  }
}

/** A session that ends when it is told, and hooks on a queue of their own, which nobody polls at first. */
function scene(hook: HookName, more: CodexTaskInput = {}) {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  const taskQueue = `hooks-${randomUUID()}`;
  const asked: unknown[] = [];
  const input: CodexTaskInput = {
    mode: 'conversation',
    ...more,
    hooks: { [hook]: { taskQueue, activityType: 'hook' } },
  };
  const steps: Partial<Stubs> = {
    followSession: async () => {
      await Promise.race([over, untilCancelled()]);
      return ended('completed');
    },
  };
  /** Serves the hook from now on. */
  const serve = async (run: () => Promise<void>, answer: unknown = null) => {
    const { nativeConnection: connection, namespace = 'default' } = temporal.environment;
    const hook = async (argument: unknown) => {
      asked.push(argument);
      return answer;
    };
    await (await Worker.create({ connection, namespace, taskQueue, activities: { hook } })).runUntil(run);
  };
  return { input, steps, asked, serve, end: () => end() };
}

const states = async (handle: Handle) => (await handle.query(stateQuery)).state;

describe('a task that continues as new', () => {
  it.each<[HookName, CodexTaskInput, (handle: Handle) => Promise<unknown>, unknown]>([
    ['seedProvider', {}, async () => undefined, 'seed-1'],
    ['onResumeRefresh', { resume: { snapshotKey: 'k' } }, async () => undefined, { model: 'other' }],
    ['beforeExecute', {}, async () => undefined, null],
    [
      'onCallerMessage',
      {},
      (handle) =>
        handle.signal(hookRequestedSignal, { id: 'e1', kind: 'callerMessage', keyword: 'k', message: {} }),
      'an answer',
    ],
    [
      'onPermissionRequest',
      {},
      (handle) =>
        handle.signal(permissionRequestedSignal, {
          requestId: '1-0',
          kind: 'command',
          summary: 'Run ls',
          input: {},
          openedAt: new Date().toISOString(),
        }),
      { behavior: 'allow' },
    ],
  ])('asks again while the hook %s has not answered', async (hook, input, ask, answer) => {
    const { steps, serve, asked, end, input: whole } = scene(hook, input);
    const { result } = await runLongTask(
      temporal.environment,
      { input: whole, steps: () => steps },
      async ({ handle, calls }) => {
        const waits = async () => (await handle.query(stateQuery)).waitingFor?.includes(hook) === true;
        if (['onCallerMessage', 'onPermissionRequest'].includes(hook))
          await until('the session', () => calls.includes('followSession'));
        await ask(handle);
        await until('the hook', waits);
        await untilNextRun(handle);
        await until('the hook again', waits);
        await serve(async () => {
          await until('its answer', async () => !(await waits()));
          await until('the session', () => calls.includes('followSession'));
        }, answer);
        end();
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(asked).toHaveLength(1);
  });

  it('asks again while its last hook has not answered, and keeps its outcome', async () => {
    const { steps, serve, asked, end, input } = scene('afterExecute');
    const { result, calls, failure } = await runLongTask(
      temporal.environment,
      { input, steps: () => steps },
      async ({ handle, calls }) => {
        end();
        await until('the last step', () => calls.includes('closeTask'));
        await untilNextRun(handle);
        await serve(async () => void (await handle.result()));
      },
    );
    expect([failure, result?.outcome, result?.finalMessage]).toEqual([null, 'completed', 'done']);
    expect(asked).toEqual([expect.objectContaining({ outcome: 'completed' })]);
    expect(calls.filter((name) => name === 'closeTask')).toHaveLength(1);
  });

  it('looks for its host again while that is away', async () => {
    let isAway = true;
    const { steps, end } = scene('afterExecute');
    const { result } = await runLongTask(
      temporal.environment,
      {
        input: { mode: 'conversation' },
        steps: () => ({
          ...steps,
          followSession: async () => {
            if (isAway)
              throw ApplicationFailure.create({ type: 'HostLost', message: 'gone', nonRetryable: true });
            return steps.followSession!({} as never);
          },
          awaitHost: async () =>
            isAway ? { isAlive: true, expiresAtMs: 1, endsInMs: 3_600_000 } : 'renewed',
          deliver: async () => report('running'),
        }),
      },
      async ({ handle, calls }) => {
        await until('recovering', async () => (await states(handle)) === 'recovering');
        await untilNextRun(handle);
        expect(await states(handle)).toBe('recovering');
        isAway = false;
        await until('the session', () => calls.filter((name) => name === 'deliver').length > 0);
        end();
      },
    );
    expect(result?.outcome).toBe('completed');
  });
});
