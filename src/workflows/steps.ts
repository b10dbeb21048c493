import type { Duration } from '@temporalio/common';
import {
  ActivityCancellationType,
  proxyActivities,
  workflowInfo,
  type ActivityOptions,
} from '@temporalio/workflow';
import type { ClaimActivities, HostActivities, SharedActivities } from '../activities/index.js';
import { claimQueueOf, hostQueueOf } from '../contract.js';
import { stepAnswer, type StepName } from './step-answers.js';

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

/**
 * A step that was handed to a worker whose wire was cut just then never began. Without a heartbeat in this time it is
 * tried again; one that works heartbeats. Longer where tries are counted, for a busy worker may miss one.
 */
const BEGINS_MS = 5_000;
const SLOW_BEGINS_MS = 10_000;

const quick: ActivityOptions = {
  startToCloseTimeout: '20s',
  heartbeatTimeout: BEGINS_MS,
  retry: { initialInterval: '200ms', maximumInterval: '5s' },
};

/** Where the workers are of a version that does not have the step, it fails at once with the SDK's word for that. */
const known: ActivityOptions = {
  ...quick,
  retry: { ...quick.retry, nonRetryableErrorTypes: ['NotFoundError'] },
};

/** Steps that any worker can do. */
export const sharedSteps = () => ({
  acquireLease: step<SharedActivities, 'acquireLease'>('acquireLease', quick, 'Acquire a credential'),
  releaseLease: step<SharedActivities, 'releaseLease'>('releaseLease', quick, 'Release the credential'),
  fenceHost: step<SharedActivities, 'fenceHost'>('fenceHost', quick, 'Keep the old host from the task'),
  awaitHost: step<SharedActivities, 'awaitHost'>('awaitHost', quick, 'Look for the host or its end'),
  evictTask: step<SharedActivities, 'evictTask'>('evictTask', quick, 'Have the host let the task go'),
  keepText: step<SharedActivities, 'keepText'>('keepText', known, 'Keep what is too large to carry'),
  readText: step<SharedActivities, 'readText'>('readText', quick, 'Read what was kept'),
  dropTexts: step<SharedActivities, 'dropTexts'>(
    'dropTexts',
    // Nobody waits long for it: a purge finds what stays.
    { ...known, scheduleToCloseTimeout: '20s' },
    'Forget what was kept',
  ),
});

/** Waits for a host with free capacity. */
export const claimHost = (scheduleToStartTimeout: Duration) =>
  step<ClaimActivities, 'claimHost'>(
    'claimHost',
    { ...quick, taskQueue: claimQueueOf(workflowInfo().taskQueue), scheduleToStartTimeout },
    'Claim a host',
  );

/**
 * Steps on one host. The long one is not retried: the workflow decides what its end means.
 * @param ttlMs how long a lease lives there without renewal
 */
export function hostSteps(hostId: string, ttlMs = TTL_MS) {
  const onHost: ActivityOptions = {
    ...quick,
    taskQueue: hostQueueOf(hostId),
    // A cancelled step is not waited for: `endSession` ends on the host whatever was under way there.
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    scheduleToStartTimeout: ttlMs * HOST_GRACE,
  };
  const long: ActivityOptions = {
    ...onHost,
    startToCloseTimeout: '3650 days',
    heartbeatTimeout: ttlMs * LONG_SILENCE,
    retry: { maximumAttempts: 1 },
  };
  const slow: ActivityOptions = {
    ...onHost,
    startToCloseTimeout: '15 minutes',
    heartbeatTimeout: Math.min(SLOW_BEGINS_MS, ttlMs * SILENCE),
  };
  const host = <K extends keyof HostActivities>(name: K, options: ActivityOptions, summary: string) =>
    step<HostActivities, K>(name, options, summary);
  return {
    prepareWorkdir: host('prepareWorkdir', slow, 'Prepare the workdir'),
    launchAppServer: host(
      'launchAppServer',
      { ...slow, startToCloseTimeout: '90s', retry: { maximumAttempts: 2 } },
      'Launch codex app-server',
    ),
    openListener: host('openListener', onHost, 'Open the listener'),
    followSession: host('followSession', long, 'Follow the session'),
    yieldStay: host('yieldStay', { ...slow, scheduleToStartTimeout: '10s' }, 'End the stay before'),
    parkTask: host('parkTask', { ...onHost, startToCloseTimeout: '60s' }, 'Park the task'),
    unparkTask: host('unparkTask', onHost, 'Take the task up again'),
    deliver: host('deliver', onHost, 'Deliver messages and decisions'),
    endSession: host('endSession', { ...onHost, startToCloseTimeout: '60s' }, 'Stop codex gently'),
    saveCredential: host('saveCredential', { ...onHost, startToCloseTimeout: '60s' }, 'Save the credential'),
    captureSeed: host('captureSeed', { ...onHost, startToCloseTimeout: '60s' }, 'Capture the seed'),
    takeSnapshot: host('takeSnapshot', { ...slow, retry: { maximumAttempts: 6 } }, 'Take a snapshot'),
    closeTask: host(
      'closeTask',
      { ...onHost, startToCloseTimeout: '60s' },
      'End the streams and remove the folder',
    ),
  };
}

export type HostSteps = ReturnType<typeof hostSteps>;

function step<A, K extends keyof A & StepName>(name: K, options: ActivityOptions, summary: string): A[K] {
  type Step = (argument: unknown) => Promise<unknown>;
  const run = proxyActivities<Record<string, Step>>({ ...options, summary })[name]!;
  const checked: Step = async (argument) => stepAnswer(name, await run(argument));
  return checked as A[K];
}
