import { randomUUID } from 'node:crypto';
import { ApplicationFailure, CancelledFailure } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import {
  CODEX_TASK,
  closeSignal,
  decidePermissionUpdate,
  permissionDecisionSignal,
  permissionSettledSignal,
  sendMessageSignal,
  sessionChangedSignal,
  stateQuery,
} from '../../src/contract/index.js';
import { TaskError } from '../../src/errors.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { decideOn, open, runTaskOn, useTemporal, type Handle, type TaskRunner } from './run-task.js';
import { ended, report, stubs, untilCancelled, withWorkers, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectLocal);

const runTask: TaskRunner = (input, overrides, during) =>
  runTaskOn(temporal.environment, input, overrides, during);

/** The teardown; whether there is something to snapshot depends on how far the task came. */
const lastSteps = (calls: string[]) => calls.filter((name) => name !== 'takeSnapshot').slice(-4);

describe('a task that completes', () => {
  it('runs each activity once, in order, and tears down after the session', async () => {
    const { calls, result } = await runTask({ prompt: 'hello', captureSeed: {} }, {});
    expect(calls).toEqual([
      'acquireLease',
      'claimHost',
      'prepareWorkdir',
      'launchAppServer',
      'openListener',
      'followSession',
      'endSession',
      'saveCredential',
      'captureSeed',
      'releaseLease',
      'takeSnapshot',
      'closeTask',
    ]);
    expect(result).toMatchObject({
      outcome: 'completed',
      threadId: 'thread-1',
      finalMessage: 'done',
      turns: 1,
      capturedSeedId: 'seed-1',
      deliverables: [],
    });
  });

  it('reports in its state what its snapshot lacks', async () => {
    const warnings = ['Not in the snapshot: work/pipe (a socket, pipe or device)'];
    const steps = { takeSnapshot: async () => ({ snapshotId: 's', warnings }) };
    const { handle, result } = await runTask({ prompt: 'hello' }, steps);
    expect(result?.snapshotId).toBe('s');
    expect((await handle.query(stateQuery)).warnings).toEqual(warnings);
  });

  it('neither saves nor releases a credential when it has no seed', async () => {
    const { calls, result } = await runTask(
      { prompt: 'hello', credential: { none: true } },
      { acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }) },
    );
    expect(result?.outcome).toBe('completed');
    expect(calls).not.toContain('saveCredential');
    expect(calls).not.toContain('releaseLease');
  });

  it('answers the query `state` after its end', async () => {
    const calls: string[] = [];
    const state = await withWorkers(temporal.environment, stubs(calls), async (taskQueue) => {
      const handle: Handle = await temporal.environment.client.workflow.start(CODEX_TASK, {
        taskQueue,
        workflowId: `task-${randomUUID()}`,
        args: [{ prompt: 'x', ui: { theme: 'dark' } }],
      });
      await handle.result();
      return handle.query(stateQuery);
    });
    expect(state).toMatchObject({ state: 'completed', turns: 1, seedId: 'seed-1', ui: { theme: 'dark' } });
  });

  it('takes over the warnings of the session that its host stopped', async () => {
    const stopped = { warnings: ['a command was ended'] };
    const { result } = await runTask(
      { prompt: 'hello' },
      { endSession: async () => stopped },
      async (handle) => {
        await handle.result();
        expect(await handle.query(stateQuery)).toMatchObject(stopped);
      },
    );
    expect(result?.outcome).toBe('completed');
  });
});

describe('bad input', () => {
  it.each([
    [{ sandbox: { grants: [{ path: '/x', access: 'execute' }] } }, 'sandbox.grants[0].access'],
    [{ unknown: 1 }, 'unknown'],
    [{ limits: { turnMs: -1 } }, 'limits.turnMs'],
  ])('fails the task at once and names the field: %j', async (input, field) => {
    const { calls, failure } = await runTask(input, {});
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect(failure).toMatchObject({ type: 'BadInput', nonRetryable: true });
    expect((failure as ApplicationFailure).message).toContain(field);
    expect(calls).toEqual([]);
  });
});

describe('the credential', () => {
  it('fails the task with LeaseLost when its host loses the lease', async () => {
    const { calls, failure } = await runTask(
      { prompt: 'x' },
      {
        followSession: async () => {
          throw new TaskError('LeaseLost', 'Lease lost on seed seed-1: it was leased to another');
        },
      },
    );
    expect(failure).toMatchObject({ type: 'LeaseLost', nonRetryable: true });
    expect(lastSteps(calls)).toEqual(['endSession', 'saveCredential', 'releaseLease', 'closeTask']);
  });

  it('is acquired again when it was refused before Codex started', async () => {
    let refusals = 2;
    const { calls, result } = await runTask(
      { prompt: 'x' },
      {
        prepareWorkdir: async () => {
          if (refusals-- > 0) throw new TaskError('LeaseRefused', 'Seed seed-1 was leased to another');
        },
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(calls.filter((name) => name === 'acquireLease')).toHaveLength(3);
  });

  it('fails the task with NoCredential after credential.waitMs', async () => {
    const { calls, failure } = await runTask(
      { prompt: 'x', credential: { pool: 'p', waitMs: 2_000 } },
      { acquireLease: async () => ({ kind: 'busy', searchAttributes: false }) },
    );
    expect(failure).toMatchObject({ type: 'NoCredential' });
    expect(calls).not.toContain('claimHost');
  });
});

describe('a close', () => {
  it('ends a task that waits for a credential', async () => {
    const { calls, result } = await runTask(
      { prompt: 'x' },
      { acquireLease: async () => ({ kind: 'busy', searchAttributes: false }) },
      (handle) => handle.signal(closeSignal),
    );
    expect(result?.outcome).toBe('closed');
    expect(calls).not.toContain('claimHost');
  });

  it('reaches the session', async () => {
    let closed: (() => void) | null = null;
    const closing = new Promise<void>((resolve) => (closed = resolve));
    const { result } = await runTask(
      { mode: 'conversation' },
      {
        followSession: async () => {
          await closing;
          return ended('closed');
        },
        deliver: async ({ close }) => {
          if (close) closed?.();
          return report('idle');
        },
      },
      (handle) => handle.signal(closeSignal),
    );
    expect(result?.outcome).toBe('closed');
  });
});

describe('a cancellation', () => {
  const phases: [string, keyof Stubs][] = [
    ['while it prepares', 'prepareWorkdir'],
    ['while codex starts', 'launchAppServer'],
    ['while the listener opens', 'openListener'],
    ['while the session runs', 'followSession'],
  ];
  it.each(phases)('%s stops Codex and tears down', async (_phase, step) => {
    let reached: (() => void) | null = null;
    const inPhase = new Promise<void>((resolve) => (reached = resolve));
    const { calls, failure } = await runTask(
      { prompt: 'x' },
      {
        [step]: async () => {
          reached?.();
          return untilCancelled();
        },
      },
      async (handle) => {
        await inPhase;
        await handle.cancel();
      },
    );
    expect(failure).toBeInstanceOf(CancelledFailure);
    expect(lastSteps(calls)).toEqual(['endSession', 'saveCredential', 'releaseLease', 'closeTask']);
  });

  it('while the task waits for a credential leaves nothing to release', async () => {
    let asked: (() => void) | null = null;
    const waiting = new Promise<void>((resolve) => (asked = resolve));
    const { calls, failure } = await runTask(
      { prompt: 'x' },
      {
        acquireLease: async () => {
          asked?.();
          return { kind: 'busy', searchAttributes: false };
        },
      },
      async (handle) => {
        await waiting;
        await handle.cancel();
      },
    );
    expect(failure).toBeInstanceOf(CancelledFailure);
    expect(calls).not.toContain('releaseLease');
  });

  it('at the very end of an activity still tears down', async () => {
    let task: Handle | null = null;
    const { calls, failure } = await runTask(
      { prompt: 'x' },
      {
        prepareWorkdir: async () => {
          await until('the task', () => task);
          await task!.cancel();
        },
      },
      async (handle) => void (task = handle),
    );
    expect(failure).toBeInstanceOf(CancelledFailure);
    expect(lastSteps(calls)).toEqual(['endSession', 'saveCredential', 'releaseLease', 'closeTask']);
  });

  it('during teardown lets the teardown finish', async () => {
    let reached: (() => void) | null = null;
    const inTeardown = new Promise<void>((resolve) => (reached = resolve));
    let goOn: (() => void) | null = null;
    const cancelled = new Promise<void>((resolve) => (goOn = resolve));
    const { calls } = await runTask(
      { prompt: 'x' },
      {
        endSession: async () => {
          reached?.();
          await cancelled;
        },
      },
      async (handle) => {
        await inTeardown;
        await handle.cancel();
        goOn?.();
      },
    );
    expect(lastSteps(calls)).toEqual(['endSession', 'saveCredential', 'releaseLease', 'closeTask']);
  });
});

describe('limits', () => {
  it('fail a task that runs longer than limits.totalMs, after its teardown', async () => {
    const { calls, failure } = await runTask(
      // Time for it to come to a session on a busy machine.
      { prompt: 'x', limits: { totalMs: 6_000 } },
      { followSession: untilCancelled },
    );
    expect(calls).toContain('followSession');
    expect(failure).toMatchObject({ type: 'TaskTimedOut' });
    expect(calls.at(-1)).toBe('closeTask');
  });
});

describe('a failed session', () => {
  it('fails the task with the error type of the host', async () => {
    const { failure, calls } = await runTask(
      { prompt: 'x' },
      {
        followSession: async () => ({
          ...ended('completed'),
          end: { kind: 'failed', code: 'CodexFailed', message: 'The turn failed: no model' },
        }),
      },
    );
    expect(failure).toMatchObject({ type: 'CodexFailed', message: 'The turn failed: no model' });
    expect(calls.at(-1)).toBe('closeTask');
  });

  it('keeps the error of an activity that failed', async () => {
    const { failure } = await runTask(
      { prompt: 'x' },
      {
        launchAppServer: async () => {
          throw new TaskError('CodexFailed', 'codex app-server ended with exit code 1: boom');
        },
      },
    );
    expect(failure).toMatchObject({
      type: 'CodexFailed',
      message: expect.stringContaining('boom') as string,
    });
  });
});

describe('messages', () => {
  it('are delivered once for each messageId', async () => {
    const delivered: string[] = [];
    let done: (() => void) | null = null;
    const all = new Promise<void>((resolve) => (done = resolve));
    await runTask(
      { prompt: 'x' },
      {
        followSession: async () => {
          await all;
          return ended('completed');
        },
        deliver: async ({ messages }) => {
          delivered.push(...messages.map(({ messageId }) => messageId));
          if (delivered.includes('b')) done?.();
          return report('running');
        },
      },
      async (handle) => {
        for (const messageId of ['a', 'a', 'b'])
          await handle.signal(sendMessageSignal, { messageId, text: 'hi' });
      },
    );
    expect(delivered).toEqual(['a', 'b']);
  });
});

describe('a permission request', () => {
  const decideBy = decideOn(() => temporal.environment);

  it.each(['allow', 'deny'] as const)('is settled by a signal with %s', async (behavior) => {
    const { decisions, result } = await decideBy(['0-0'], {}, async (handle) => {
      await open(handle);
      expect((await handle.query(stateQuery)).state).toBe('waiting-for-permission');
      await handle.signal(permissionDecisionSignal, { requestId: '0-0', behavior });
    });
    expect(decisions).toEqual([{ requestId: '0-0', behavior, decidedBy: 'signal' }]);
    expect(result?.outcome).toBe('completed');
  });

  it('is settled by an update, which rejects settled and unknown requests', async () => {
    const { decisions } = await decideBy(['0-0', '0-1'], {}, async (handle) => {
      await open(handle, 2);
      const decide = (requestId: string) =>
        handle.executeUpdate(decidePermissionUpdate, { args: [{ requestId, behavior: 'allow' }] });
      expect(await decide('0-0')).toEqual({ requestId: '0-0', behavior: 'allow' });
      await expect(decide('0-0')).rejects.toMatchObject({
        cause: { message: expect.stringMatching(/0-0 is settled/) as string },
      });
      await expect(decide('9-9')).rejects.toMatchObject({
        cause: { message: expect.stringMatching(/9-9 is unknown/) as string },
      });
      await decide('0-1');
    });
    expect(decisions.map(({ requestId }) => requestId)).toEqual(['0-0', '0-1']);
  });

  it('takes only the first of several decisions', async () => {
    const { decisions } = await decideBy(['0-0', '0-1'], {}, async (handle) => {
      await open(handle, 2);
      await handle.signal(permissionDecisionSignal, { requestId: '0-0', behavior: 'deny' });
      await handle.signal(permissionDecisionSignal, { requestId: '0-0', behavior: 'allow' });
      await handle.signal(permissionDecisionSignal, { requestId: '0-1', behavior: 'allow' });
    });
    expect(decisions.map(({ requestId, behavior }) => [requestId, behavior])).toEqual([
      ['0-0', 'deny'],
      ['0-1', 'allow'],
    ]);
  });

  it('takes a decision that arrives before the request', async () => {
    const { decisions } = await decideBy(['0-0'], {}, async (handle) => {
      await handle.signal(permissionDecisionSignal, { requestId: '0-0', behavior: 'allow' });
    });
    expect(decisions).toHaveLength(1);
  });

  it('closes when it was settled elsewhere', async () => {
    const { decisions } = await decideBy(['0-0', '0-1'], {}, async (handle, decisionsSoFar) => {
      await open(handle, 2);
      await handle.signal(permissionSettledSignal, { requestId: '0-0', reason: 'interrupt' });
      await open(handle, 1);
      await handle.signal(permissionDecisionSignal, { requestId: '0-0', behavior: 'allow' });
      await handle.signal(permissionDecisionSignal, { requestId: '0-1', behavior: 'allow' });
      await until('a decision', () => decisionsSoFar().length > 0);
      await handle.cancel();
    });
    expect(decisions.map(({ requestId }) => requestId)).toEqual(['0-1']);
  });
});

describe('reports of the host', () => {
  it('count in the order in which they were made, whatever order they arrive in', async () => {
    const older = report('running', 1);
    const newer = report('idle', 2);
    let goOn: (() => void) | null = null;
    const seen = new Promise<void>((resolve) => (goOn = resolve));
    let deliveries = 0;
    await runTask(
      { mode: 'conversation' },
      {
        followSession: async () => {
          await Promise.race([seen, untilCancelled()]);
          return ended('closed');
        },
        deliver: async () => {
          deliveries++;
          return older;
        },
      },
      async (handle) => {
        await handle.signal(sessionChangedSignal, newer);
        await handle.signal(sendMessageSignal, { messageId: 'a', text: 'hi' });
        await until('a delivery', () => deliveries === 1);
        await handle.signal(sendMessageSignal, { messageId: 'b', text: 'hi' });
        // The second goes out only after the first one's report was taken.
        await until('another delivery', () => deliveries === 2);
        const { turns } = await handle.query(stateQuery);
        goOn?.();
        expect(turns).toBe(2);
      },
    ).then(({ failure }) => expect(failure).toBeNull());
  });
});
