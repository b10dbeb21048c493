import {
  ActivityCancellationType,
  proxyActivities,
  workflowInfo,
  type ActivityOptions,
} from '@temporalio/workflow';
import type { ClaimActivities, HostActivities, SharedActivities } from '../activities/index.js';
import { claimQueueOf, hostQueueOf } from '../contract/index.js';
import type { ClaimArguments, Claimed } from '../contract/activities.js';
import { NEXT_TRY } from '../contract/activity-protocol.js';
import { FIRST_ATTEMPTS, GIVE_UP_MS, insist } from './insist.js';
import type { Task } from './task.js';
import { activityResult, type ActivityName } from './activity-results.js';

/** Usual lifetime of a lease, in milliseconds. */
export const TTL_MS = 60_000;
/**
 * How long a host may leave an activity untaken or be silent before it counts as lost, as parts of the lease's TTL.
 */
const HOST_GRACE = 0.75;
const SILENCE = 0.5;
/**
 * The same for the activity that lasts as long as a session and pays for each heartbeat: four fifths of these times.
 * Codex may not run longer than that without a renewal, and no other host may take the task sooner.
 */
const LONG_SILENCE = 1;
/** Longer than the short waits of a claim that is about to be granted, shorter than a lease's TTL. */
export const CLAIM_WAIT = '40s';
/** No limit. */
export const ANY_WAIT = '3650 days';
export type ClaimWait = typeof CLAIM_WAIT | typeof ANY_WAIT;

/**
 * Retries an activity without a heartbeat in this time: it was dispatched to a worker that lost its connection.
 * Longer where attempts are counted, since a busy worker may miss a heartbeat.
 */
const BEGINS_MS = 5_000;
const SLOW_BEGINS_MS = 10_000;
/** How long Temporal itself retries an activity that only waits for a server. */
const PATIENT_FOR = '10 minutes';
/** A lease that could not be released for this long has expired by itself. */
const RELEASE_MS = 900_000;

const { TRY_CANCEL, WAIT_CANCELLATION_COMPLETED } = ActivityCancellationType;

/** Does not wait for a cancelled activity: another one undoes what it did, or nothing is lost. */
const quick: ActivityOptions = {
  startToCloseTimeout: '20s',
  heartbeatTimeout: BEGINS_MS,
  retry: { initialInterval: '200ms', maximumInterval: '5s' },
  cancellationType: TRY_CANCEL,
};
/** Waits for an activity that takes a resource, so that the resource is released. */
const taking: ActivityOptions = { ...quick, cancellationType: WAIT_CANCELLATION_COMPLETED };

/** Type of the SDK's error from a worker whose version lacks the activity. */
const known: ActivityOptions = {
  ...quick,
  retry: { ...quick.retry, nonRetryableErrorTypes: ['NotFoundError'] },
};

/** Activities that store what is too large to carry. Their callers continue without a result. */
export const textProxy = () => ({
  keepText: plainActivity('keepText', known, 'Store what is too large to carry'),
  readText: plainActivity('readText', quick, 'Read a stored value'),
  // Does not retry for long: a purge removes what is left.
  dropTexts: plainActivity('dropTexts', { ...known, scheduleToCloseTimeout: '20s' }, 'Remove stored values'),
});

/** An activity that only Temporal retries. */
function plainActivity<K extends keyof SharedActivities>(
  name: K,
  options: ActivityOptions,
  summary: string,
): SharedActivities[K] {
  type Step = (argument: unknown) => Promise<unknown>;
  const run = proxyActivities<Record<string, Step>>({ ...options, summary })[name]!;
  const checked: Step = async (argument) => activityResult(name, await run(argument));
  return checked as SharedActivities[K];
}

/** Activities that any worker can run. They are retried until one succeeds. */
export function sharedProxy(task: Task) {
  const shared = <K extends keyof SharedActivities>(
    name: K,
    options: ActivityOptions,
    summary: string,
    giveUpMs = Infinity,
  ) => step<SharedActivities, K>(task, name, { ...options, summary }, { what: `activity ${name}`, giveUpMs });
  return {
    acquireLease: shared('acquireLease', taking, 'Acquire a credential'),
    releaseLease: shared('releaseLease', quick, 'Release the credential', RELEASE_MS),
    fenceHost: shared('fenceHost', quick, 'Fence the lost host'),
    awaitHost: shared('awaitHost', quick, 'Look at the lease of the host'),
    evictTask: shared('evictTask', quick, 'Evict the task from its host'),
  };
}

/** Waits for a host with a free place; a host that cannot take the task leaves it to another. */
export const claimHost =
  (scheduleToStartTimeout: ClaimWait) =>
  (claim: ClaimArguments): Promise<Claimed> =>
    proxyActivities<ClaimActivities>({
      ...taking,
      taskQueue: claimQueueOf(workflowInfo().taskQueue),
      scheduleToStartTimeout,
      summary: 'Claim a host',
    }).claimHost(claim);

/**
 * Activities of one host. The long one is not retried after a silence: the workflow decides what that means.
 * @param ttlMs how long a lease lasts there without renewal
 * @param giveUpMs how long an activity may fail for unknown reasons
 */
export function hostProxy(
  task: Task,
  { hostId, ttlMs = TTL_MS }: { hostId: string; ttlMs?: number },
  giveUpMs = () => GIVE_UP_MS,
) {
  const onHost: ActivityOptions = {
    ...quick,
    taskQueue: hostQueueOf(hostId),
    // `endSession` ends whatever activity still runs on the host.
    cancellationType: TRY_CANCEL,
    scheduleToStartTimeout: ttlMs * HOST_GRACE,
  };
  const minute: ActivityOptions = { ...onHost, startToCloseTimeout: '60s' };
  const long: ActivityOptions = {
    ...onHost,
    startToCloseTimeout: '3650 days',
    heartbeatTimeout: ttlMs * LONG_SILENCE,
  };
  const slow: ActivityOptions = {
    ...onHost,
    startToCloseTimeout: '15 minutes',
    heartbeatTimeout: Math.min(SLOW_BEGINS_MS, ttlMs * SILENCE),
  };
  const host = <K extends keyof HostActivities>(name: K, options: ActivityOptions, summary: string) =>
    step<HostActivities, K>(
      task,
      name,
      { ...options, summary },
      { what: `activity ${name} on host ${hostId}`, giveUpMs, isFollowed: options === long },
    );
  return {
    prepareWorkdir: host('prepareWorkdir', slow, 'Prepare the workdir'),
    launchAppServer: host(
      'launchAppServer',
      { ...slow, startToCloseTimeout: '90s' },
      'Launch codex app-server',
    ),
    openListener: host('openListener', onHost, 'Open the listener'),
    followSession: host('followSession', long, 'Follow the session'),
    yieldAssignment: host(
      'yieldAssignment',
      { ...slow, scheduleToStartTimeout: '10s' },
      'End the earlier assignment',
    ),
    parkTask: host('parkTask', minute, 'Park the task'),
    unparkTask: host('unparkTask', onHost, 'Unpark the task'),
    deliver: host('deliver', onHost, 'Deliver messages and decisions'),
    endSession: host('endSession', minute, 'Stop codex gently'),
    saveCredential: host('saveCredential', minute, 'Save the credential'),
    captureSeed: host('captureSeed', minute, 'Capture the seed'),
    takeSnapshot: host('takeSnapshot', slow, 'Take a snapshot'),
    closeTask: host('closeTask', minute, 'End the streams and remove the folder'),
  };
}

export type HostProxy = ReturnType<typeof hostProxy>;

/** How long an activity is retried. Without a host any worker can run it, and attempts cost the history nothing. */
interface Patience {
  what: string;
  giveUpMs: number | (() => number);
  isFollowed?: boolean;
}

function step<A, K extends keyof A & ActivityName>(
  task: Task,
  name: K,
  options: ActivityOptions,
  { what, giveUpMs, isFollowed = false }: Patience,
): A[K] {
  const firstAttempts = isFollowed ? 1 : FIRST_ATTEMPTS;
  const run = (argument: unknown) => {
    // Shared by all attempts, so that the host knows them as one activity.
    const activityId = `${name}-${++task.run.activitiesBegun}`;
    const insistence = { what, firstAttempts, isFollowed, giveUpMs };
    return insist(task, insistence, async ({ before, patient }) => {
      const attempts = before === 0 ? firstAttempts : 1;
      const activities = proxyActivities<Record<string, (argument: unknown) => Promise<unknown>>>({
        ...options,
        activityId: before === 0 ? activityId : `${activityId}${NEXT_TRY}${before}`,
        ...(patient && { scheduleToCloseTimeout: PATIENT_FOR }),
        retry: { ...options.retry, ...(!patient && { maximumAttempts: attempts }) },
      });
      return activityResult(name, await activities[name]!(argument));
    });
  };
  return run as unknown as A[K];
}
