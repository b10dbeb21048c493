import { randomUUID } from 'node:crypto';
import { Worker } from '@temporalio/worker';
import { expect, it } from 'vitest';
import {
  decidePermissionUpdate,
  pendingPermissionsQuery,
  permissionDecisionSignal,
  permissionRequestedSignal,
  permissionsRecordedSignal,
  type CodexTaskInput,
  type PermissionDecision,
} from '../../src/contract/index.js';
import { workflowCalls } from '../../src/temporal/workflow-calls.js';
import { post, serveLiveTask, type ServedTask } from '../listener/serve-task.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle } from './run-task.js';
import { ended, report, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectLocal);

interface Asked {
  readonly handle: Handle;
  readonly listener: ServedTask;
}
type Behavior = PermissionDecision['behavior'];
type Decide = (task: Asked, requestId: string, behavior: Behavior) => Promise<unknown>;

/** Whether it was told that its decision counts. */
const TOLD = {
  update: ({ handle }, requestId, behavior) =>
    handle.executeUpdate(decidePermissionUpdate, { args: [{ requestId, behavior }] }).then(
      () => true,
      ({ cause }: { cause?: Error }) => {
        expect(cause?.message).toBe(`Permission request ${requestId} is settled`);
        return false;
      },
    ),
  http: async ({ listener }, requestId, behavior) => {
    listener.session.open.add(requestId);
    const { status } = await post(listener, 'permission', { request_id: requestId, behavior });
    expect([200, 404]).toContain(status);
    return status === 200;
  },
} satisfies Record<string, Decide>;
const AFTER = Object.keys(TOLD) as (keyof typeof TOLD)[];

/** Each decides `allow`; one without `act` does it by itself. */
const WAYS: [decidedBy: string, act: Decide | null, input?: CodexTaskInput][] = [
  ['update', TOLD.update],
  ['http', TOLD.http],
  [
    'signal',
    ({ handle }, requestId, behavior) => handle.signal(permissionDecisionSignal, { requestId, behavior }),
  ],
  ['timeout', null, { approvals: { timeoutMs: 1, onTimeout: 'allow' } }],
  ['hook', null, { hooks: { onPermissionRequest: { taskQueue: '', activityType: 'judge' } } }],
  [
    'rule',
    ({ handle }, requestId, behavior) =>
      handle.signal(permissionsRecordedSignal, [
        { requestId, kind: 'command', summary: 'ls', behavior, decidedBy: 'rule' },
      ]),
  ],
];

it.each(WAYS)(
  'refuses later decisions after %s has decided, though Codex still waits',
  async (decidedBy, act, input = {}) => {
    const delivered = await run(AFTER, input, async (task) => {
      for (const requestId of AFTER) if (act) await act(task, requestId, 'allow');
      await until('the decisions', async () => (await openRequests(task)).length === 0);
      for (const way of AFTER) expect([way, await TOLD[way](task, way, 'deny')]).toEqual([way, false]);
    });
    // A rule's answer has gone to codex already.
    const expected = decidedBy === 'rule' ? [] : AFTER.map((requestId) => [requestId, 'allow', decidedBy]);
    expect(delivered.map((each) => [each.requestId, each.behavior, each.decidedBy]).toSorted()).toEqual(
      expected.toSorted(),
    );
  },
);

it('times a request out while Codex is still told of an earlier one', async () => {
  const input: CodexTaskInput = { approvals: { timeoutMs: 1, onTimeout: 'allow' } };
  const delivered = await run(['first'], input, async (task) => {
    const isDecided = async () => (await openRequests(task)).length === 0;
    await until('the first decision', isDecided);
    await ask(task.handle, 'second');
    await until('the second decision', isDecided);
  });
  expect(delivered.map((each) => [each.requestId, each.decidedBy])).toEqual([
    ['first', 'timeout'],
    ['second', 'timeout'],
  ]);
});

it('accepts exactly one of a concurrent update and POST, and applies that one', async () => {
  const requestIds = Array.from({ length: 8 }, (_, i) => `r-${i}`);
  const counted = new Map<string, Behavior>();
  const delivered = await run(requestIds, {}, async (task) => {
    for (const requestId of requestIds) {
      const both = await Promise.all([
        TOLD.update(task, requestId, 'allow'),
        TOLD.http(task, requestId, 'deny'),
      ]);
      expect(both.filter(Boolean)).toHaveLength(1);
      counted.set(requestId, both[0] ? 'allow' : 'deny');
    }
  });
  expect(new Map(delivered.map(({ requestId, behavior }) => [requestId, behavior]))).toEqual(counted);
});

it('answers a repeated POST alike, and refuses a different one', async () => {
  await run(['r'], {}, async (task) => {
    const { listener } = task;
    const { temporal: decide } = listener;
    listener.temporal = async (decision) => {
      await decide(decision);
      throw new Error('14 UNAVAILABLE');
    };
    const send = async (behavior: Behavior) => {
      listener.session.open.add('r');
      return (await post(listener, 'permission', { request_id: 'r', behavior })).status;
    };
    expect(await send('deny')).toBe(503);
    listener.temporal = decide;
    expect([await send('allow'), await send('deny')]).toEqual([404, 200]);
  });
});

const ask = (handle: Handle, requestId: string) =>
  handle.signal(permissionRequestedSignal, {
    requestId,
    kind: 'command',
    summary: 'Run ls',
    input: {},
    openedAt: new Date().toISOString(),
  });

const openRequests = ({ handle }: Asked) => handle.query(pendingPermissionsQuery);

/** Runs a task that asks for these; `act` decides while nothing is delivered. Gives what is delivered after that. */
async function run(
  requestIds: readonly string[],
  { hooks, ...input }: CodexTaskInput,
  act: (task: Asked) => Promise<void>,
): Promise<PermissionDecision[]> {
  const delivered: PermissionDecision[] = [];
  let goOn: () => void = () => undefined;
  const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  let isFollowed = false;
  const steps: Partial<Stubs> = {
    async followSession() {
      isFollowed = true;
      await Promise.race([finished, untilCancelled()]);
      return ended('completed');
    },
    async deliver({ decisions, close }) {
      await Promise.race([mayGoOn, untilCancelled()]);
      delivered.push(...decisions);
      if (close) finish();
      return report('running');
    },
  };
  const judged = hooks && (await judge());
  const given = { prompt: 'x', ...input, ...(judged && { hooks: judged.hooks }) };
  const { failure } = await runTaskOn(temporal.environment, given, steps, async (handle) => {
    const { client, connection } = temporal.environment;
    const link = { client, connection, namespace: '', address: '', close: () => Promise.resolve() };
    const { runId } = await handle.describe();
    const listener = await serveLiveTask();
    listener.temporal = (decision) =>
      workflowCalls(link).decidePermission({ taskId: handle.workflowId, runId, assignmentId: '' }, decision);
    for (const requestId of requestIds) await ask(handle, requestId);
    await act({ handle, listener });
    goOn();
    await until('what counts', async () => (await openRequests({ handle, listener })).length === 0);
    // A task that is closed before ends without a session, and has nobody to tell.
    await until('the session', () => isFollowed);
    await handle.signal('close');
  });
  await judged?.end();
  expect(failure).toBeNull();
  return delivered;
}

/** A hook that allows whatever it sees. */
async function judge() {
  const { nativeConnection: connection, namespace = 'default' } = temporal.environment;
  const taskQueue = `judge-${randomUUID()}`;
  const activities = { judge: () => Promise.resolve({ behavior: 'allow' }) };
  const worker = await Worker.create({ connection, namespace, taskQueue, activities });
  const running = worker.run();
  return {
    hooks: { onPermissionRequest: { taskQueue, activityType: 'judge' } },
    async end() {
      worker.shutdown();
      await running;
    },
  };
}
