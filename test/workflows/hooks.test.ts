import { randomUUID } from 'node:crypto';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  closeSignal,
  hookRequestedSignal,
  permissionDecisionSignal,
  permissionRequestedSignal,
  stateQuery,
  type HookRequest,
  type HookName,
  type HookTarget,
} from '../../src/contract/index.js';
import { TaskError } from '../../src/errors.js';
import type { Delivery, PrepareArguments } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle, type TaskRunner } from './run-task.js';
import { ended, report, untilCancelled } from './stub-host.js';

const temporal = useTemporal(connectLocal);

const runTask: TaskRunner = (input, overrides, during) =>
  runTaskOn(temporal.environment, input, overrides, during);

type Served = Partial<Record<HookName, (argument: never) => Promise<unknown>>>;

/** A caller whose worker serves these hooks at once; `without` names hooks that nobody serves. */
async function caller(served: Served, ...without: HookName[]) {
  const taskQueue = `hooks-${randomUUID()}`;
  const calls: [string, unknown][] = [];
  const activities = Object.fromEntries(
    Object.entries(served).map(([name, hook]) => [
      name,
      async (argument: never) => {
        calls.push([name, argument]);
        return hook(argument);
      },
    ]),
  );
  if (Object.keys(served).length > 0) {
    const { nativeConnection: connection, namespace } = temporal.environment;
    const worker = await Worker.create({
      connection,
      namespace: namespace ?? 'default',
      taskQueue,
      activities,
    });
    const running = worker.run();
    onTestFinished(async () => {
      worker.shutdown();
      await running;
    });
  }
  const target = (name: string, queue: string): [string, HookTarget] => [
    name,
    { taskQueue: queue, activityType: name },
  ];
  const hooks = Object.fromEntries([
    ...Object.keys(served).map((name) => target(name, taskQueue)),
    ...without.map((name) => target(name, 'nobody-polls-this')),
  ]);
  return { calls, hooks, names: () => calls.map(([name]) => name) };
}

const nothing = async () => undefined;
const request = {
  kind: 'command' as const,
  summary: 'Run ls',
  input: {},
  openedAt: new Date().toISOString(),
};
const warningsAtEnd = async (task: Handle): Promise<string[]> => {
  await task.result();
  return (await task.query(stateQuery)).warnings;
};
const waitsFor = (handle: Handle, name: HookName) =>
  until(`the wait for ${name}`, async () => {
    const { waitingFor } = await handle.query(stateQuery);
    return waitingFor === `waiting for hook ${name} on nobody-polls-this`;
  });

describe('beforeExecute and afterExecute', () => {
  it('run after the workdir is there and before Codex, and after the teardown', async () => {
    const { hooks, calls } = await caller({ beforeExecute: nothing, afterExecute: nothing });
    const order: string[] = [];
    const { handle, result } = await runTask(
      { prompt: 'x', hooks },
      {
        prepareWorkdir: async () => void order.push(`prepared, ${calls.length} calls`),
        launchAppServer: async () => {
          order.push(`launched, ${calls.length} calls`);
          return { threadId: 't', model: null, controls: [], warnings: [] };
        },
        closeTask: async () => void order.push(`closed, ${calls.length} calls`),
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(order).toEqual(['prepared, 0 calls', 'launched, 1 calls', 'closed, 1 calls']);
    const taskId = handle.workflowId;
    expect(calls).toEqual([
      ['beforeExecute', { taskId }],
      ['afterExecute', { taskId, outcome: 'completed' }],
    ]);
  });

  it('run once in a task that starts again on another host', async () => {
    const { hooks, names } = await caller({ beforeExecute: nothing, afterExecute: nothing });
    let refusals = 1;
    const { result } = await runTask(
      { prompt: 'x', hooks },
      {
        launchAppServer: async () => {
          if (refusals-- > 0) throw new TaskError('SessionNotHere', 'gone');
          return { threadId: 't', model: null, controls: [], warnings: [] };
        },
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(names()).toEqual(['beforeExecute', 'afterExecute']);
  });

  it('afterExecute gets the failure of the task, which stays the task’s own', async () => {
    const { hooks, calls } = await caller({ afterExecute: nothing });
    const { failure } = await runTask(
      { prompt: 'x', hooks },
      {
        followSession: async () => {
          throw new TaskError('CodexFailed', 'it broke');
        },
      },
    );
    expect(failure).toMatchObject({ type: 'CodexFailed' });
    expect(calls).toMatchObject([['afterExecute', { outcome: 'failed' }]]);
  });

  it('afterExecute gets the cancellation of the task', async () => {
    const { hooks, calls } = await caller({ afterExecute: nothing });
    const { handle } = await runTask(
      { prompt: 'x', hooks },
      { followSession: untilCancelled },
      async (task) => {
        await until('a running task', async () => (await task.query(stateQuery)).state === 'running');
        await task.cancel();
      },
    );
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect(calls).toMatchObject([['afterExecute', { outcome: 'cancelled' }]]);
  });

  it('beforeExecute fails the task before Codex starts, and afterExecute gets that', async () => {
    const { hooks, calls: called } = await caller({
      beforeExecute: async () => {
        throw ApplicationFailure.nonRetryable('the budget is spent');
      },
      afterExecute: nothing,
    });
    const { calls, failure } = await runTask({ prompt: 'x', hooks }, {});
    expect(failure).toMatchObject({ type: 'HookFailed', message: 'Hook beforeExecute: the budget is spent' });
    expect(calls).not.toContain('launchAppServer');
    expect(calls.at(-1)).toBe('closeTask');
    expect(called.at(-1)).toMatchObject(['afterExecute', { outcome: 'failed' }]);
  });

  it('afterExecute fails a task that had completed when it fails', async () => {
    const { hooks } = await caller({
      afterExecute: async () => {
        throw ApplicationFailure.nonRetryable('no room');
      },
    });
    const { failure } = await runTask({ prompt: 'x', hooks }, {});
    expect(failure).toMatchObject({ type: 'HookFailed', message: 'Hook afterExecute: no room' });
  });

  it('afterExecute is not called for a task that never had a workdir', async () => {
    const { hooks, calls } = await caller({ afterExecute: nothing });
    const { failure } = await runTask(
      { prompt: 'x', hooks },
      {
        acquireLease: async () => {
          throw new TaskError('NoCredential', 'none');
        },
      },
    );
    expect(failure).toMatchObject({ type: 'NoCredential' });
    expect(calls).toEqual([]);
  });
});

describe('a hook that fails or hangs', () => {
  it('is retried after a failure', async () => {
    let failures = 1;
    const { hooks, names } = await caller({
      beforeExecute: async () => {
        if (failures-- > 0) throw new Error('its database is restarted');
      },
    });
    const { result } = await runTask({ prompt: 'x', hooks }, {});
    expect(result?.outcome).toBe('completed');
    expect(names()).toHaveLength(2);
  });

  it.each([[{ timeoutMs: 1_500 }], [{ heartbeatMs: 1_500 }]])(
    'is timed out and retried, with %j',
    async (limit) => {
      let hangs = 1;
      const { hooks, names } = await caller({
        beforeExecute: () => (hangs-- > 0 ? Context.current().cancelled : nothing()),
      });
      const target = { ...hooks['beforeExecute']!, ...limit };
      const { result } = await runTask({ prompt: 'x', hooks: { beforeExecute: target } }, {});
      expect(result?.outcome).toBe('completed');
      // Or once more, where the next one is slow to be taken and heard of.
      expect(names().length).toBeGreaterThanOrEqual(2);
    },
  );
});

describe('a hook that no worker serves', () => {
  const file = { path: 'deliverables/a', bytes: 1, sha256: 'ab', contentType: 'text/plain', blobId: 'b' };
  const hookRequestsOf: Partial<Record<HookName, HookRequest>> = {
    onDeliverable: { id: 'e', kind: 'deliverable', deliverable: file },
  };

  it.each<HookName>([
    'seedProvider',
    'onResumeRefresh',
    'onPermissionRequest',
    'onDeliverable',
    'onSeedSaved',
  ])('is reported in state and details, and ends with a close: %s', async (name) => {
    const { hooks } = await caller({}, name);
    let closed: () => void = () => undefined;
    const untilClosed = new Promise<void>((resolve) => (closed = resolve));
    const { result } = await runTask(
      { mode: 'conversation', resume: { snapshotKey: 'k' }, hooks },
      {
        followSession: async () => {
          if (name !== 'onSeedSaved') await Promise.race([untilClosed, untilCancelled()]);
          return ended('closed');
        },
        deliver: async ({ close }) => {
          if (close) closed();
          return report('running');
        },
      },
      async (task) => {
        const hookRequest = hookRequestsOf[name];
        if (hookRequest) await task.signal(hookRequestedSignal, hookRequest);
        if (name === 'onPermissionRequest')
          await task.signal(permissionRequestedSignal, { ...request, requestId: 'r1' });
        await waitsFor(task, name);
        const { currentDetails } = await task.query<{ currentDetails: string }>(
          '__temporal_workflow_metadata',
        );
        expect(currentDetails).toContain(`waiting for hook ${name} on nobody-polls-this`);
        await task.signal(closeSignal);
      },
    );
    expect(result?.outcome).toBe('closed');
  });

  it('is reported, and ends with a close before Codex starts', async () => {
    const { hooks } = await caller({}, 'beforeExecute');
    const { calls, result } = await runTask({ prompt: 'x', hooks }, {}, async (task) => {
      await waitsFor(task, 'beforeExecute');
      await task.signal(closeSignal);
    });
    expect(result?.outcome).toBe('closed');
    expect(calls).not.toContain('launchAppServer');
    expect(calls.at(-1)).toBe('closeTask');
  });

  it('does not hold up a cancellation', async () => {
    const { hooks } = await caller({}, 'beforeExecute');
    const { handle } = await runTask({ prompt: 'x', hooks }, {}, async (task) => {
      await waitsFor(task, 'beforeExecute');
      await task.cancel();
    });
    expect((await handle.describe()).status.name).toBe('CANCELLED');
  });

  it('does not hold up limits.totalMs', async () => {
    const { hooks } = await caller({}, 'beforeExecute');
    const { failure } = await runTask({ prompt: 'x', hooks, limits: { totalMs: 500 } }, {});
    expect(failure).toMatchObject({ type: 'TaskTimedOut' });
  });

  it('keeps afterExecute waiting until the task is closed', async () => {
    const { hooks } = await caller({}, 'afterExecute');
    const { calls, result } = await runTask({ prompt: 'x', hooks }, {}, async (task) => {
      await waitsFor(task, 'afterExecute');
      await task.signal(closeSignal);
    });
    expect(calls.at(-1)).toBe('closeTask');
    expect(result?.outcome).toBe('completed');
  });
});

describe('onPermissionRequest', () => {
  /** A session that ends with the first decision it is given. */
  function asking(handleOf: () => Handle, requestId: string) {
    const decisions: Delivery['decisions'] = [];
    let decided: () => void = () => undefined;
    const done = new Promise<void>((resolve) => (decided = resolve));
    return {
      decisions,
      steps: {
        followSession: async () => {
          await handleOf().signal(permissionRequestedSignal, { ...request, requestId });
          await Promise.race([done, untilCancelled()]);
          return ended('completed');
        },
        deliver: async (delivery: Delivery) => {
          decisions.push(...delivery.decisions);
          if (decisions.length > 0) decided();
          return report('running');
        },
      },
    };
  }

  it('decides, with a reason for the model', async () => {
    const { hooks, calls } = await caller({
      onPermissionRequest: async () => ({ behavior: 'deny', message: 'not on a Friday' }),
    });
    let handle: Handle | null = null;
    const session = asking(() => handle!, 'r1');
    await runTask({ prompt: 'x', hooks }, session.steps, async (task) => void (handle = task));
    expect(session.decisions).toEqual([
      { requestId: 'r1', behavior: 'deny', message: 'not on a Friday', decidedBy: 'hook' },
    ]);
    expect(calls).toMatchObject([['onPermissionRequest', { request: { requestId: 'r1', kind: 'command' } }]]);
  });

  it.each<[string, HookName[], Served]>([
    ['is not there', ['onPermissionRequest'], {}],
    ['asks', [], { onPermissionRequest: async () => ({ behavior: 'ask' }) }],
    [
      'fails',
      [],
      {
        onPermissionRequest: async () => {
          throw ApplicationFailure.nonRetryable('broken');
        },
      },
    ],
    ['answers nonsense', [], { onPermissionRequest: async () => ({ behavior: 'maybe' }) }],
  ])('leaves the request to people when it %s', async (_what, without, served) => {
    const { hooks } = await caller(served, ...without);
    let handle: Handle | null = null;
    const session = asking(() => handle!, 'r1');
    await runTask({ prompt: 'x', hooks }, session.steps, async (task) => {
      handle = task;
      await until('an open request', async () => (await task.query(stateQuery)).pending.length === 1);
      await task.signal(permissionDecisionSignal, { requestId: 'r1', behavior: 'allow', decidedBy: 'Ann' });
    });
    expect(session.decisions).toEqual([{ requestId: 'r1', behavior: 'allow', decidedBy: 'Ann' }]);
  });
});

describe('the account', () => {
  it('is the seed that seedProvider names', async () => {
    const { hooks } = await caller({ seedProvider: async () => 'seed-9' });
    let asked: unknown;
    await runTask(
      { prompt: 'x', hooks, credential: { pool: 'p', waitMs: 5 } },
      {
        acquireLease: async ({ credential }) => {
          asked = credential;
          return { kind: 'no-seed', searchAttributes: false };
        },
      },
    );
    expect(asked).toEqual({ seedId: 'seed-9', waitMs: 5 });
  });

  it('is missing, with the reason of a seedProvider that has none', async () => {
    const { hooks } = await caller({
      seedProvider: async () => {
        throw ApplicationFailure.nonRetryable('all accounts are on holiday');
      },
    });
    const { failure } = await runTask({ prompt: 'x', hooks }, {});
    expect(failure).toMatchObject({
      type: 'NoCredential',
      message: 'Hook seedProvider: all accounts are on holiday',
    });
  });

  it('is that of the input when seedProvider answers nothing', async () => {
    const { hooks } = await caller({ seedProvider: nothing });
    let asked: unknown;
    await runTask(
      { prompt: 'x', hooks, credential: { pool: 'p' } },
      {
        acquireLease: async ({ credential }) => {
          asked = credential;
          return { kind: 'no-seed', searchAttributes: false };
        },
      },
    );
    expect(asked).toEqual({ pool: 'p' });
  });

  it('is asked of seedProvider again, with a new lease, after a wait for quota', async () => {
    const { hooks, names } = await caller({ seedProvider: async () => 'seed-9' });
    let sessions = 0;
    const resetsAt = new Date(Date.now() + 1_000).toISOString();
    const { calls, result } = await runTask(
      { prompt: 'x', hooks, credential: { none: true } },
      {
        followSession: async () => {
          const end = ended('completed');
          return ++sessions === 1 ? { ...end, end: { kind: 'limited', turnId: 'u', resetsAt } } : end;
        },
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(names()).toEqual(['seedProvider', 'seedProvider']);
    expect(calls.filter((name) => name === 'acquireLease')).toHaveLength(2);
  });

  it('is missing when seedProvider gives an invalid answer', async () => {
    const { hooks } = await caller({ seedProvider: async () => ({ id: 'seed-9' }) });
    const { failure } = await runTask({ prompt: 'x', hooks }, {});
    expect(failure).toMatchObject({
      type: 'NoCredential',
      message: expect.stringMatching(/^Hook seedProvider: its answer: expected the id of a seed/) as string,
    });
  });

  it.each<[string, { seedId: string | null; skipped: string | null }, number, RegExp]>([
    ['was not captured', { seedId: null, skipped: 'no valid auth.json' }, 0, /^Seed not captured: no valid/],
    ['could not be told', { seedId: 's', skipped: null }, 1, /^Hook onSeedSaved: out of paper$/],
  ])('adds a warning when its seed %s', async (_what, captured, told, warning) => {
    const { hooks, calls } = await caller({
      onSeedSaved: async () => {
        throw ApplicationFailure.nonRetryable('out of paper');
      },
    });
    const steps = { captureSeed: async () => captured };
    const { result } = await runTask({ prompt: 'x', hooks }, steps, async (task) => {
      expect(await warningsAtEnd(task)).toEqual([expect.stringMatching(warning)]);
    });
    expect(result?.outcome).toBe('completed');
    expect(calls).toHaveLength(told);
  });

  it('is captured and passed to onSeedSaved', async () => {
    const { hooks, calls } = await caller({ onSeedSaved: nothing });
    const run = await runTask({ prompt: 'x', hooks }, {});
    expect(run.calls).toContain('captureSeed');
    expect(calls).toMatchObject([['onSeedSaved', { seedId: 'seed-1', info: null }]]);
  });
});

describe('onResumeRefresh', () => {
  const prepared = async (answer: unknown) => {
    const { hooks, calls } = await caller({ onResumeRefresh: async () => answer });
    let spec: PrepareArguments['spec'] | null = null;
    const input = { prompt: 'x', instructions: 'old', resume: { snapshotKey: 'k' }, hooks };
    const { handle } = await runTask(input, { prepareWorkdir: async (args) => void (spec = args.spec) });
    expect(calls).toEqual([['onResumeRefresh', { taskId: handle.workflowId, input }]]);
    return spec!;
  };

  it('leaves the input as it is when it fails, and adds a warning', async () => {
    const { hooks } = await caller({
      onResumeRefresh: async () => {
        throw ApplicationFailure.nonRetryable('no templates');
      },
    });
    const input = { prompt: 'x', resume: { snapshotKey: 'k' }, hooks };
    const { result } = await runTask(input, {}, async (task) => {
      expect(await warningsAtEnd(task)).toEqual([
        'Hook onResumeRefresh: no templates; the input is unchanged',
      ]);
    });
    expect(result?.outcome).toBe('completed');
  });

  it('is not called for a task that does not resume', async () => {
    const { hooks, calls } = await caller({ onResumeRefresh: nothing });
    await runTask({ prompt: 'x', hooks }, {});
    expect(calls).toEqual([]);
  });

  it('changes the settings with which a resumed task starts', async () => {
    const spec = await prepared({ instructions: 'new', sandbox: { network: true } });
    expect(spec).toMatchObject({ prompt: 'x', instructions: 'new', sandbox: { network: true } });
  });

  it.each([[{ hooks: {} }], [{ sandbox: { mode: 'none' } }], ['text']])(
    'leaves the input as it is after an invalid answer: %j',
    async (answer) => {
      const spec = await prepared(answer);
      expect(spec).toMatchObject({ instructions: 'old', sandbox: { mode: 'workspace-write' } });
    },
  );
});

describe('hook requests of the host', () => {
  const file = { path: 'deliverables/a.md', bytes: 1, sha256: 'ab', contentType: 'text/plain' };
  const hookRequests: HookRequest[] = [
    { id: 'e1', kind: 'deliverable', deliverable: { ...file, blobId: 'b1' } },
    { id: 'e2', kind: 'deliverable', deliverable: { ...file, bytes: 2, blobId: 'b2' } },
    { id: 'e3', kind: 'callerMessage', keyword: 'k', message: [1] },
    { id: 'e4', kind: 'upload', path: 'uploads/x', bytes: 3 },
  ];

  /** A session that brings all hook requests, each twice, and ends when all are answered. */
  async function answersWith(served: Served) {
    const { hooks, calls } = await caller(served);
    let handle: Handle | null = null;
    const answers: Delivery['answers'] = [];
    let answered: () => void = () => undefined;
    const done = new Promise<void>((resolve) => (answered = resolve));
    const { result } = await runTask(
      { prompt: 'x', hooks },
      {
        followSession: async () => {
          for (const hookRequest of [...hookRequests, ...hookRequests])
            await handle!.signal(hookRequestedSignal, hookRequest);
          await Promise.race([done, untilCancelled()]);
          return ended('completed');
        },
        deliver: async (delivery) => {
          answers.push(...delivery.answers);
          if (answers.length >= hookRequests.length) answered();
          return report('running');
        },
      },
      async (task) => void (handle = task),
    );
    const textOf = (id: string) => answers.find((answer) => answer.id === id)?.text;
    expect(answers.map(({ id }) => id).sort()).toEqual(['e1', 'e2', 'e3', 'e4']);
    return { calls, result, textOf };
  }

  it('reach their hook once each and are answered', async () => {
    const verdicts = ['a title is missing', 'ok'];
    const { calls, result, textOf } = await answersWith({
      onDeliverable: async () => verdicts.shift(),
      onCallerMessage: async () => 'yes',
      onUpload: nothing,
    });
    expect(textOf('e1')).toBe('System: deliverable a.md: a title is missing');
    expect(textOf('e2')).toBeNull();
    expect(textOf('e3')).toBe('System: yes');
    expect(textOf('e4')).toBeNull();
    expect(calls).toHaveLength(4);
    // The file that came again is in the first one's place.
    expect(result?.deliverables).toEqual([{ ...file, bytes: 2 }]);
  });

  it('are answered when no hook is set for them', async () => {
    const { textOf } = await answersWith({});
    expect(textOf('e1')).toBeNull();
  });

  it('tell the agent to deliver again when the hook fails', async () => {
    const { textOf } = await answersWith({
      onDeliverable: async () => {
        throw ApplicationFailure.nonRetryable('database down');
      },
      onCallerMessage: async () => ({ not: 'text' }),
    });
    expect(textOf('e1')).toMatch(/^System: deliverable a.md: trouble on my side/);
    expect(textOf('e3')).toBeNull();
  });
});
