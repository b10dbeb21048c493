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

/** A lease's usual time, milliseconds. */
export const TTL_MS = 60_000;
/** How long a host may leave a step untaken before it counts as gone, and how long it may be silent: parts of the TTL. */
const HOST_GRACE = 0.75;
const SILENCE = 0.5;
/**
 * The same for the step that lasts as long as a session, each heartbeat of which is paid for: four in five of these
 * times. Codex may run no longer than that without a renewal anyway, and no other host may take the task sooner.
 */
const LONG_SILENCE = 1;
/** Longer than the short waits of a claim that is about to be granted, shorter than a lease's TTL. */
export const CLAIM_WAIT = '40s';
/** As long as it takes. */
export const ANY_WAIT = '3650 days';
export type ClaimWait = typeof CLAIM_WAIT | typeof ANY_WAIT;

/**
 * A step that was handed to a worker whose wire was cut just then never began. Without a heartbeat in this time it is
 * tried again; one that works heartbeats. Longer where tries are counted, for a busy worker may miss one.
 */
const BEGINS_MS = 5_000;
const SLOW_BEGINS_MS = 10_000;
/** For so long Temporal tries a step by itself that only waits for a server. */
const PATIENT_FOR = '10 minutes';
/** A lease that could not be given back for so long has run out by itself. */
const RELEASE_MS = 900_000;

const { TRY_CANCEL, WAIT_CANCELLATION_COMPLETED } = ActivityCancellationType;

/** Nobody waits for a cancelled step: what it did is put back by another one, or is nobody's loss. */
const quick: ActivityOptions = {
  startToCloseTimeout: '20s',
  heartbeatTimeout: BEGINS_MS,
  retry: { initialInterval: '200ms', maximumInterval: '5s' },
  cancellationType: TRY_CANCEL,
};
/** A step that takes something is waited for, so that what it took is given back. */
const taking: ActivityOptions = { ...quick, cancellationType: WAIT_CANCELLATION_COMPLETED };

/** Where the workers are of a version that does not have the step, it fails at once with the SDK's word for that. */
const known: ActivityOptions = {
  ...quick,
  retry: { ...quick.retry, nonRetryableErrorTypes: ['NotFoundError'] },
};

/** Steps that keep what is too large to carry: who asks for one goes on without it. */
export const textProxy = () => ({
  keepText: plainActivity('keepText', known, 'Keep what is too large to carry'),
  readText: plainActivity('readText', quick, 'Read what was kept'),
  // Nobody waits long for it: a purge finds what stays.
  dropTexts: plainActivity('dropTexts', { ...known, scheduleToCloseTimeout: '20s' }, 'Forget what was kept'),
});

/** A step that Temporal alone tries again. */
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

/** Steps that any worker can do; they are tried until one does them. */
export function sharedProxy(task: Task) {
  const shared = <K extends keyof SharedActivities>(
    name: K,
    options: ActivityOptions,
    summary: string,
    giveUpMs = Infinity,
  ) => step<SharedActivities, K>(task, name, { ...options, summary }, { what: `step ${name}`, giveUpMs });
  return {
    acquireLease: shared('acquireLease', taking, 'Acquire a credential'),
    releaseLease: shared('releaseLease', quick, 'Release the credential', RELEASE_MS),
    fenceHost: shared('fenceHost', quick, 'Keep the old host from the task'),
    awaitHost: shared('awaitHost', quick, 'Look for the host or its end'),
    evictTask: shared('evictTask', quick, 'Have the host let the task go'),
  };
}

/** Waits for a host with free capacity; one that cannot take the task leaves it to another. */
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
 * Steps on one host. The long one is not tried again when nothing is heard of it: the workflow decides what that
 * means.
 * @param ttlMs how long a lease lives there without renewal
 * @param giveUpMs how long a step may fail for reasons that nobody knows
 */
export function hostProxy(
  task: Task,
  { hostId, ttlMs = TTL_MS }: { hostId: string; ttlMs?: number },
  giveUpMs = () => GIVE_UP_MS,
) {
  const onHost: ActivityOptions = {
    ...quick,
    taskQueue: hostQueueOf(hostId),
    // `endSession` ends on the host whatever was under way there.
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
      { what: `step ${name} on host ${hostId}`, giveUpMs, isFollowed: options === long },
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
      'End the assignment before',
    ),
    parkTask: host('parkTask', minute, 'Park the task'),
    unparkTask: host('unparkTask', onHost, 'Take the task up again'),
    deliver: host('deliver', onHost, 'Deliver messages and decisions'),
    endSession: host('endSession', minute, 'Stop codex gently'),
    saveCredential: host('saveCredential', minute, 'Save the credential'),
    captureSeed: host('captureSeed', minute, 'Capture the seed'),
    takeSnapshot: host('takeSnapshot', slow, 'Take a snapshot'),
    closeTask: host('closeTask', minute, 'End the streams and remove the folder'),
  };
}

export type HostProxy = ReturnType<typeof hostProxy>;

/** How long a step is insisted on; without a host any worker can do it, and its tries cost the history nothing. */
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
    // Every try has it, so that the host knows them as one step.
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
