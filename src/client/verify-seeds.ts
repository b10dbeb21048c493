import { randomUUID } from 'node:crypto';
import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleOptions,
  type ScheduleUpdateOptions,
} from '@temporalio/client';
import { onAbort } from '../async/abort.js';
import { TaskError } from '../errors.js';
import {
  VERIFY_POOL,
  VERIFY_SEED,
  type SeedVerdict,
  type VerifyPoolInput,
  type VerifyPoolResult,
  type VerifySeedInput,
} from '../contract/verification.js';
import { clientFailure } from './client-failure.js';

/** What is verified: a whole pool, or one seed. */
export type VerifyTarget = VerifyPoolInput | VerifySeedInput;

export interface VerifyClientOptions {
  client: Client;
  taskQueue: string;
}

/** A schedule as it stands after a change; times in milliseconds and ISO 8601. */
export interface VerifySchedule {
  scheduleId: string;
  everyMs: number;
  jitterMs: number;
  nextAt: string | null;
}

const MAX_JITTER_MS = 600_000;
/** Runs missed for longer are skipped: the next regular run does the work. */
const CATCHUP = '10 minutes';
const MAX_PAUSE_MS = 30_000;

/**
 * Verifies now and waits for the end; an abort cancels what runs.
 * @throws TaskError `NotFound` for an unknown seed, `Unavailable` when Temporal is; the signal's reason
 */
export async function verifyNow(
  { client, taskQueue }: VerifyClientOptions,
  target: VerifyTarget,
  signal: AbortSignal,
): Promise<VerifyPoolResult | SeedVerdict> {
  signal.throwIfAborted();
  const workflowId = `${idOf(target)}-${randomUUID().slice(0, 8)}`;
  try {
    const handle = await client.workflow.start(typeOf(target), { workflowId, taskQueue, args: [target] });
    const cancel = () => void handle.cancel().catch(() => undefined);
    const release = onAbort(signal, cancel);
    try {
      return (await handle.result()) as VerifyPoolResult | SeedVerdict;
    } finally {
      release();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw clientFailure(error, workflowId);
  }
}

/**
 * Schedules verifications from now on, replacing a schedule for the same pool or seed. A run that is due while the one
 * before still runs is left out.
 */
export async function scheduleVerification(
  { client, taskQueue }: VerifyClientOptions,
  target: VerifyTarget,
  everyMs: number,
): Promise<VerifySchedule> {
  const scheduleId = idOf(target);
  const jitterMs = Math.min(Math.floor(everyMs / 10), MAX_JITTER_MS);
  const options = {
    spec: { intervals: [{ every: everyMs }], jitter: jitterMs },
    action: {
      type: 'startWorkflow',
      workflowType: typeOf(target),
      workflowId: scheduleId,
      taskQueue,
      args: [target],
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCHUP },
  } satisfies Omit<ScheduleOptions, 'scheduleId'>;
  const handle = client.schedule.getHandle(scheduleId);
  try {
    await client.schedule.create({ scheduleId, ...options }).catch(async (error: unknown) => {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await handle.update(({ state }): ScheduleUpdateOptions => ({ ...options, state }));
    });
    const { info } = await handle.describe();
    const [next] = info.nextActionTimes;
    return { scheduleId, everyMs, jitterMs, nextAt: next?.toISOString() ?? null };
  } catch (error) {
    throw clientFailure(error, scheduleId);
  }
}

/** Ends a schedule. @throws TaskError `NotFound` when there is none */
export async function unscheduleVerification(
  { client }: VerifyClientOptions,
  target: VerifyTarget,
): Promise<{ scheduleId: string }> {
  const scheduleId = idOf(target);
  try {
    await client.schedule.getHandle(scheduleId).delete();
    return { scheduleId };
  } catch (error) {
    if (error instanceof ScheduleNotFoundError)
      throw new TaskError('NotFound', `No schedule ${scheduleId} exists`, {
        cause: error,
      });
    throw clientFailure(error, scheduleId);
  }
}

/** A person who waits gets no pauses; a schedule spreads its load. */
export const poolTarget = (pool: string, all: boolean, isScheduled: boolean): VerifyPoolInput => ({
  pool,
  all,
  jitterMs: isScheduled ? MAX_PAUSE_MS : 0,
});

const typeOf = (target: VerifyTarget) => ('pool' in target ? VERIFY_POOL : VERIFY_SEED);
const idOf = (target: VerifyTarget) =>
  'pool' in target ? `verify-pool-${target.pool}` : `verify-seed-${target.seedId}`;
