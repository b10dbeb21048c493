import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure, Context } from '@temporalio/activity';
import proto from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { lookingClient } from '../../src/client/looking-client.js';
import * as contract from '../../src/contract/index.js';
import { findTemporalCli } from '../../src/dev/temporal/choose-temporal.js';
import { testFolder } from '../support/folders.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { stackOptions } from '../support/shared-servers.js';
import { until } from '../support/until.js';
import { clientWith, key, workersWith } from './encrypted.js';
import type { Handle } from './run-task.js';
import { ended, report, stubs, untilCancelled, withWorkers } from './stub-host.js';

beforeAll(() => void quietRuntime());

/** In everything that is a payload or part of a failure. */
const MARK = 'marked-secret';

const request = (requestId: string): contract.PermissionRequest => ({
  requestId,
  kind: 'command',
  summary: `Run ${MARK}`,
  input: { command: MARK },
  openedAt: new Date(0).toISOString(),
});

/** Two tasks, one that completes and one that fails, whose every payload has the mark. */
async function runMarkedTasks(environment: TestWorkflowEnvironment, keys: string): Promise<Handle[]> {
  const client = clientWith(environment, keys);
  const options = await workersWith(keys);
  const calls: string[] = [];
  let decided: () => void = () => undefined;
  const untilDecided = new Promise<void>((resolve) => (decided = resolve));
  const steps = stubs(calls, {
    launchAppServer: async () => ({ threadId: MARK, model: null, controls: [], warnings: [MARK] }),
    async followSession({ taskId }) {
      Context.current().heartbeat({ lastEventId: 1, text: MARK });
      const handle = client.workflow.getHandle(taskId);
      await handle.signal(contract.permissionRequestedSignal, request('r-1'));
      await handle.signal(contract.permissionRequestedSignal, request('r-2'));
      await Promise.race([untilDecided, untilCancelled()]);
      return { ...ended('completed'), finalMessage: MARK };
    },
    async deliver({ decisions }) {
      if (decisions.some(({ requestId }) => requestId === 'r-2')) decided();
      return { ...report('running'), lastError: MARK };
    },
    async takeSnapshot() {
      throw ApplicationFailure.create({
        message: MARK,
        type: 'HostUnfit',
        nonRetryable: true,
        details: [{ text: MARK }],
        cause: new Error(MARK),
      });
    },
  });
  const taskQueue = `q-${randomUUID()}`;
  const hooks = await Worker.create({
    ...options.steps,
    connection: environment.nativeConnection,
    namespace: environment.namespace ?? 'default',
    taskQueue: `${taskQueue}-hooks`,
    activities: {
      onPermissionRequest: async ({ request }: { request: contract.PermissionRequest }) => {
        if (request.requestId === 'r-2') throw ApplicationFailure.nonRetryable(MARK, 'Refused', MARK);
        return { behavior: 'deny', message: MARK };
      },
      beforeExecute: async ({ taskId }: { taskId: string }) => {
        if (taskId.startsWith('fails')) throw ApplicationFailure.nonRetryable(MARK, 'Refused', MARK);
      },
    },
  });
  const input: contract.CodexTaskInput = {
    prompt: MARK,
    instructions: MARK,
    env: { SECRET: MARK },
    codexConfig: { model_verbosity: MARK },
    ui: { text: MARK },
    hooks: Object.fromEntries(
      ['onPermissionRequest', 'beforeExecute'].map((activityType) => [
        activityType,
        { taskQueue: `${taskQueue}-hooks`, activityType },
      ]),
    ),
  };
  const start = (name: string): Promise<Handle> =>
    client.workflow.start<(input?: contract.CodexTaskInput) => Promise<contract.CodexTaskResult>>(
      contract.CODEX_TASK,
      {
        taskQueue,
        workflowId: `${name}-${randomUUID()}`,
        args: [input],
        memo: { text: MARK },
        staticSummary: MARK,
        staticDetails: MARK,
      },
    );
  const run = async () => {
    const [completes, fails] = [await start('completes'), await start('fails')];
    await completes.signal(contract.sendMessageSignal, { messageId: 'm-1', text: MARK });
    await until('the request', async () =>
      (await completes.query(contract.stateQuery)).pending.some(({ requestId }) => requestId === 'r-2'),
    );
    const decision = { requestId: 'r-2', behavior: 'deny', message: MARK } as const;
    const decide = { args: [decision] as [contract.PermissionDecision] };
    await completes.executeUpdate(contract.decidePermissionUpdate, decide);
    expect(await completes.result()).toMatchObject({ outcome: 'completed', finalMessage: MARK });
    await expect(fails.result()).rejects.toMatchObject({
      cause: { type: 'HookFailed', message: `Hook beforeExecute: ${MARK}` },
    });
    const { warnings } = await completes.query(contract.stateQuery);
    expect(warnings.filter((line) => line.includes(MARK)).length).toBeGreaterThan(1);
    return [completes, fails];
  };
  return hooks.runUntil(withWorkers(environment, asActivities(steps), run, { ...options, taskQueue }));
}

/** How often the mark is in what the server gives, and in what lies on its disk once it has ended. */
async function findMarks(keys: string): Promise<{ histories: number; listed: number; files: number }> {
  const folder = await testFolder();
  const path = await findTemporalCli(stackOptions('', new AbortController().signal));
  const environment = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path },
      dbFilename: join(folder, 'temporal.db'),
      // A busy disk is no subject of this.
      extraArgs: ['--sqlite-pragma', 'synchronous=0'],
    },
  });
  let histories = 0;
  let listed = 0;
  try {
    for (const handle of await runMarkedTasks(environment, keys)) {
      const history = proto.temporal.api.history.v1.History.encode(await handle.fetchHistory()).finish();
      histories += marksIn(history);
      const { raw } = await lookingClient(environment.client)
        .workflow.getHandle(handle.workflowId)
        .describe();
      const { DescribeWorkflowExecutionResponse } = proto.temporal.api.workflowservice.v1;
      listed += marksIn(DescribeWorkflowExecutionResponse.encode(raw).finish());
    }
  } finally {
    await environment.teardown();
  }
  const names = await readdir(folder);
  const contents = await Promise.all(names.map((name) => readFile(join(folder, name))));
  return { histories, listed, files: contents.reduce((sum, bytes) => sum + marksIn(bytes), 0) };
}

const marksIn = (bytes: Uint8Array): number => Buffer.from(bytes).toString('latin1').split(MARK).length - 1;

describe('with a key', () => {
  test('hides all of a task in what Temporal returns and stores; without one hides none', async () => {
    expect(await findMarks(key('k1'))).toEqual({ histories: 0, listed: 0, files: 0 });
    const plain = await findMarks('');
    for (const count of Object.values(plain)) expect(count).toBeGreaterThan(1);
  }, 300_000);
});
