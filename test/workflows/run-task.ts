import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Delivery } from '../../src/contract/activities.js';
import { asActivities } from '../../src/activities/as-activity.js';
import {
  CODEX_TASK,
  pendingPermissionsQuery,
  permissionRequestedSignal,
  type CodexTaskInput,
  type CodexTaskResult,
  type PermissionDecision,
  type PermissionRequest,
} from '../../src/contract/index.js';
import { afterAll, beforeAll, expect } from 'vitest';
import { quietRuntime } from '../support/quiet-runtime.js';
import { workflowBundle } from '../support/built-package.js';
import type { TestTemporal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { saveHistory } from './histories.js';
import { sharedWorkers, type SharedWorkers } from './shared-workers.js';
import {
  ended,
  report,
  stubs,
  untilCancelled,
  withWorkers,
  type Stubs,
  type WorkersOptions,
} from './stub-host.js';

export type Handle = WorkflowHandle<(input?: CodexTaskInput) => Promise<CodexTaskResult>>;

/** The workers of the environments of which all tests use the same. */
const shared = new WeakMap<TestWorkflowEnvironment, SharedWorkers>();

/**
 * One server for all tests of a file, and one set of workers for those that run their task by `runTaskOn`; its
 * `environment` is there once the first of them begins.
 */
export function useTemporal(start: () => Promise<TestTemporal>): TestTemporal {
  const temporal = {} as TestTemporal;
  beforeAll(async () => {
    quietRuntime();
    const [started] = await Promise.all([start(), workflowBundle()]);
    Object.assign(temporal, started);
    shared.set(started.environment, sharedWorkers(started.environment));
  }, 120_000);
  afterAll(async () => {
    await shared.get(temporal.environment)?.close();
    await temporal.close();
  });
  return temporal;
}

/** Runs a task against stub steps; `during` acts on it while it runs. */
export async function runTaskOn(
  environment: TestWorkflowEnvironment,
  input: unknown,
  overrides: Partial<Stubs>,
  during: (handle: Handle) => Promise<void> = async () => undefined,
  options?: WorkersOptions,
): Promise<{ calls: string[]; handle: Handle; result: CodexTaskResult | null; failure: unknown }> {
  const calls: string[] = [];
  const steps = asActivities(stubs(calls, overrides));
  const workflowId = `task-${randomUUID()}`;
  const test = async (taskQueue: string) => {
    const handle: Handle = await environment.client.workflow.start(CODEX_TASK, {
      taskQueue,
      workflowId,
      args: [input],
    });
    const outcome = during(handle).then(() => handle.result());
    const keep = () => saveHistory(environment.client, handle.workflowId, testName());
    try {
      return { calls, handle, result: await outcome, failure: null };
    } catch (error) {
      if (error instanceof WorkflowFailedError) return { calls, handle, result: null, failure: error.cause };
      await handle.terminate('its test is over').catch(() => undefined);
      return { calls, handle, result: null, failure: error };
    } finally {
      await keep();
    }
  };
  return withTaskWorkers(environment, { workflowId, options }, steps, test);
}

/**
 * Runs `test` while workers do the steps of this workflow: the shared ones where its file has `useTemporal`, else, or
 * with options, workers of its own.
 */
export function withTaskWorkers<T>(
  environment: TestWorkflowEnvironment,
  { workflowId, options }: { workflowId: string; options?: WorkersOptions | undefined },
  steps: Stubs,
  test: (taskQueue: string) => Promise<T>,
): Promise<T> {
  const workers = options ? undefined : shared.get(environment);
  return workers ? workers.serve(workflowId, steps, test) : withWorkers(environment, steps, test, options);
}

const request = (requestId: string): PermissionRequest => ({
  requestId,
  kind: 'command',
  summary: 'Run ls',
  input: { command: 'ls' },
  openedAt: new Date().toISOString(),
});

/** A session that ends once it has been delivered `count` decisions; it asks as soon as it is followed. */
export function askingSession(handleOf: () => Handle, requestIds: string[]) {
  const deliveries: Delivery[] = [];
  let settled: (() => void) | null = null;
  const answered = new Promise<void>((resolve) => (settled = resolve));
  return {
    deliveries,
    steps: {
      followSession: async () => {
        for (const id of requestIds) await handleOf().signal(permissionRequestedSignal, request(id));
        await Promise.race([answered, untilCancelled()]);
        return ended('completed');
      },
      deliver: async (delivery: Delivery) => {
        deliveries.push(delivery);
        const decided = deliveries.flatMap(({ decisions }) => decisions);
        if (decided.length >= requestIds.length) settled?.();
        return report('running');
      },
    } satisfies Partial<Stubs>,
    get decisions() {
      return deliveries.flatMap(({ decisions }) => decisions);
    },
  };
}

/** Of the test that runs, as a name of a file. */
export const testName = () =>
  (expect.getState().currentTestName ?? 'unnamed')
    .replace(/[^\w]+/g, '-')
    .slice(0, 100)
    .replace(/-$/, '');

export type TaskRunner = (
  input: unknown,
  overrides: Partial<Stubs>,
  during?: (handle: Handle) => Promise<void>,
) => ReturnType<typeof runTaskOn>;

/** Runs a task whose session asks for `requestIds` and ends when all are decided; `act` decides. */
export const decideOn =
  (environment: () => TestWorkflowEnvironment) =>
  async (
    requestIds: string[],
    input: CodexTaskInput,
    act: (handle: Handle, decisions: () => PermissionDecision[]) => Promise<void>,
  ) => {
    let handle: Handle | null = null;
    const session = askingSession(() => handle!, requestIds);
    const run = await runTaskOn(environment(), { prompt: 'x', ...input }, session.steps, async (started) => {
      handle = started;
      await act(started, () => session.decisions);
    });
    return { ...run, decisions: session.decisions };
  };

/** Resolves when exactly `count` requests are open. */
export const open = (handle: Handle, count = 1) =>
  until(`${count} open requests`, async () => (await handle.query(pendingPermissionsQuery)).length === count);
