import { isCancellation, proxyActivities, sleep, type ActivityOptions } from '@temporalio/workflow';
import type { VerifyActivities } from '../activities/index.js';
import { TaskError } from '../errors.js';
import { parseVerifyPool, parseVerifySeed } from '../input/verification-input.js';
import { taskFailure } from './failures.js';
import { activityResult } from './activity-results.js';
import type {
  SeedVerdict,
  VerifyPoolInput,
  VerifyPoolResult,
  VerifySeedInput,
} from '../contract/verification.js';

/**
 * Bounds a run's history and result; the seeds verified longest ago come first, so that none is left out for long.
 */
const SEEDS_PER_RUN = 200;
const JITTER_MS = 30_000;

const retry: ActivityOptions['retry'] = { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 5 };

const { listSeedsToVerify: list } = proxyActivities<VerifyActivities>({
  startToCloseTimeout: '5 minutes',
  retry,
  summary: 'List the seeds to verify',
});

const { checkSeed: check } = proxyActivities<VerifyActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30s',
  // An activity of a dead worker holds the seed for a minute: the next attempt would only find it in use.
  retry: { ...retry, initialInterval: '75s', maximumInterval: '75s', maximumAttempts: 2 },
  summary: 'Verify a seed',
});

const checkSeed = async (seedId: string) => activityResult('checkSeed', await check({ seedId }));

/** Verifies one seed. Fails with `NotFound` when there is none, with `BadInput` for another argument. */
export async function verifySeed(input: VerifySeedInput): Promise<SeedVerdict> {
  try {
    return await checkSeed(parseVerifySeed(input).seedId);
  } catch (error) {
    throw taskFailure(error);
  }
}

/**
 * Verifies the idle seeds of a pool whose login is stale, one after another, so that the pool is never all in use.
 */
export async function verifyPool(input: VerifyPoolInput): Promise<VerifyPoolResult> {
  try {
    return await verifyStale(parseVerifyPool(input));
  } catch (error) {
    throw error instanceof TaskError ? taskFailure(error) : error;
  }
}

async function verifyStale({ pool, all = false, jitterMs = JITTER_MS }: VerifyPoolInput) {
  const listed = await list({ pool, all, limit: SEEDS_PER_RUN });
  const { seedIds, skipped, left } = activityResult('listSeedsToVerify', listed);
  const seeds: SeedVerdict[] = [];
  for (const [index, seedId] of seedIds.entries()) {
    if (index > 0 && jitterMs > 0) await sleep(Math.random() * jitterMs);
    seeds.push(await checkOrSkip(seedId));
  }
  return { pool, seeds, skipped, left };
}

/** Continues with the others when one seed cannot be verified. */
async function checkOrSkip(seedId: string): Promise<SeedVerdict> {
  try {
    return await checkSeed(seedId);
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { seedId, verdict: 'inconclusive', reason: messageOf(error), rotated: false };
  }
}

const messageOf = (error: unknown): string => {
  const failed = taskFailure(error);
  return failed instanceof Error ? failed.message : String(failed);
};
