import { randomUUID } from 'node:crypto';
import { ApplicationFailure, type WorkflowFailedError } from '@temporalio/client';
import { Worker, type WorkflowBundleOption } from '@temporalio/worker';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import type { VerifyActivities } from '../../src/activities/index.js';
import { TaskError } from '../../src/errors.js';
import {
  VERIFY_POOL,
  VERIFY_SEED,
  type VerifyPoolInput,
  type VerifyPoolResult,
} from '../../src/contract/verification.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { workflowBundle } from '../support/built-package.js';
import { startTimeSkipping, type TestTemporal } from '../support/temporal.js';
import { saveHistory } from './histories.js';
import { testName } from './run-task.js';

let temporal: TestTemporal;
let bundle: WorkflowBundleOption;

beforeAll(async () => {
  quietRuntime();
  [temporal, bundle] = await Promise.all([startTimeSkipping(), workflowBundle()]);
});
afterAll(() => temporal.close());

const nothing = { fresh: 2, dead: 1, inUse: 1 };

/** Runs a workflow against steps of the test's own; tells when each seed was checked by the workflow's clock. */
async function runOn(type: string, argument: unknown, steps: Partial<VerifyActivities>): Promise<unknown> {
  const { client, nativeConnection } = temporal.environment;
  const taskQueue = `q-${randomUUID()}`;
  const activities: VerifyActivities = asActivities({
    checkSeed: async ({ seedId }) => ({ seedId, verdict: 'alive', reason: 'refreshed', rotated: true }),
    listSeedsToVerify: async () => ({ seedIds: ['a', 'b', 'c'], skipped: nothing, left: 4 }),
    ...steps,
  });
  const worker = await Worker.create({
    connection: nativeConnection,
    taskQueue,
    workflowBundle: bundle,
    activities,
  });
  const run = client.workflow.execute(type, { taskQueue, workflowId: taskQueue, args: [argument] });
  return worker.runUntil(run.finally(() => saveHistory(client, taskQueue, `${type}-${testName()}`)));
}

const runPool = async (input: VerifyPoolInput, steps: Partial<VerifyActivities> = {}) =>
  (await runOn(VERIFY_POOL, input, steps)) as VerifyPoolResult;

it('verifies one seed after another, each after a pause, and counts the others', async () => {
  const times: number[] = [];
  let running = 0;
  const result = await runPool(
    { pool: 'p', jitterMs: 3_600_000 },
    {
      checkSeed: async ({ seedId }) => {
        expect(++running).toBe(1);
        times.push(await temporal.environment.currentTimeMs());
        running--;
        return { seedId, verdict: 'alive', reason: 'refreshed', rotated: true };
      },
    },
  );
  expect(result.seeds.map(({ seedId }) => seedId)).toEqual(['a', 'b', 'c']);
  expect(result).toMatchObject({ pool: 'p', skipped: nothing, left: 4 });
  const pauses = times.slice(1).map((time, index) => time - times[index]!);
  // A random part of an hour: less than a second would be a wonder.
  expect(Math.max(...pauses)).toBeGreaterThan(1_000);
  expect(Math.max(...pauses)).toBeLessThan(3_700_000);
});

it('asks for the stale seeds of the pool only, unless all are wanted', async () => {
  const asked: unknown[] = [];
  const steps: Partial<VerifyActivities> = {
    listSeedsToVerify: async (args) => {
      asked.push(args);
      return { seedIds: [], skipped: nothing, left: 0 };
    },
  };
  await runPool({ pool: 'p' }, steps);
  await runPool({ pool: 'p', all: true }, steps);
  expect(asked).toEqual([
    { pool: 'p', all: false, limit: 200 },
    { pool: 'p', all: true, limit: 200 },
  ]);
});

it('continues when one seed cannot be verified', async () => {
  const result = await runPool(
    { pool: 'p', jitterMs: 0 },
    {
      checkSeed: async ({ seedId }) => {
        if (seedId === 'b') throw new TaskError('NotFound', 'Seed b is unknown');
        return { seedId, verdict: 'dead', reason: 'refresh_token_reused', rotated: false };
      },
    },
  );
  expect(result.seeds.map(({ seedId, verdict, reason }) => [seedId, verdict, reason])).toEqual([
    ['a', 'dead', 'refresh_token_reused'],
    ['b', 'inconclusive', 'Seed b is unknown'],
    ['c', 'dead', 'refresh_token_reused'],
  ]);
});

it('fails for a single seed that is unknown', async () => {
  const unknown = async () => Promise.reject(new TaskError('NotFound', 'Seed x is unknown'));
  const failed = runOn(VERIFY_SEED, { seedId: 'x' }, { checkSeed: unknown }).catch((error: unknown) => error);
  const { cause } = (await failed) as WorkflowFailedError;
  expect(cause).toBeInstanceOf(ApplicationFailure);
  expect(cause).toMatchObject({ type: 'NotFound', message: 'Seed x is unknown' });
});
