import {
  ActivityFailure,
  ApplicationFailure,
  isCancellation,
  sleep,
  TimeoutFailure,
} from '@temporalio/workflow';
import { ACTIVITY_PAUSED } from '../contract/activity-protocol.js';
import { mustRead } from './readable.js';
import type { Task } from './task.js';
import { UnfitHost } from './unfit-host.js';

/** How often Temporal retries an activity before the task reports that it fails. */
export const FIRST_ATTEMPTS = 2;
/** How long an activity is retried that fails for an unknown reason, from its first failure on. */
export const GIVE_UP_MS = 300_000;
const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 20_000;
/** Silent attempts before the host counts as lost. */
const SILENT_TRIES = 4;
/** Longest reason shown, in characters. */
const MAX_REASON = 300;
/**
 * `trouble`: nobody knows whether it passes. `outage`: it passes. `silent`: no heartbeat arrived. `elsewhere`: it
 * does not pass on this host. `paused`: by an operator, which is no failure.
 */
type Failed = { kind: 'trouble' | 'outage' | 'silent' | 'elsewhere' | 'paused'; reason?: string };

/** How to make one more attempt; `patient`: Temporal itself retries for minutes, since the activity only waits. */
export interface Try {
  /** How many calls there were before, each with several attempts by Temporal. */
  readonly before: number;
  readonly patient: boolean;
}

export interface Insistence {
  /** What fails, for people: an activity and its host. */
  readonly what: string;
  /** Attempts by Temporal in the first call. */
  readonly firstAttempts: number;
  /** Counted from the first failure, in milliseconds; infinite: any worker can run it at any time. */
  readonly giveUpMs: number | (() => number);
  /** Whether a silence means at once that the host is lost. */
  readonly isFollowed: boolean;
}

/**
 * Calls an activity until it succeeds or fails for good; from its third attempt on the task reports what fails and
 * why.
 * @throws the activity's error when retrying cannot help; UnfitHost when it failed too long for unknown reasons or
 * cannot run there
 */
export async function insist<T>(
  task: Task,
  { what, firstAttempts, giveUpMs, isFollowed }: Insistence,
  attempt: (how: Try) => Promise<T>,
): Promise<T> {
  let failedAt: number | null = null;
  let silent = 0;
  let patient = false;
  let last = '';
  let said: () => void = () => undefined;
  try {
    for (let before = 0; ; before++) {
      try {
        return await attempt({ before, patient });
      } catch (error) {
        const failed = failedBy(error);
        if (failed === null) throw error;
        const { kind, reason = last } = failed;
        if (kind === 'paused') {
          task.warn(
            `${what} was paused in Temporal by an operator: a new activity replaces it, and the task continues`,
          );
          continue;
        }
        last = reason;
        const forMs = typeof giveUpMs === 'number' ? giveUpMs : giveUpMs();
        const isAnywhere = typeof giveUpMs === 'number';
        if (kind === 'elsewhere' && !isAnywhere) throw new UnfitHost(`${what}: ${reason}`, true);
        if (kind === 'silent' && !isAnywhere && (isFollowed || ++silent > SILENT_TRIES)) throw error;
        failedAt ??= Date.now();
        const isOver = Date.now() - failedAt >= forMs;
        if (isOver && isAnywhere) throw error;
        if (isOver && kind === 'trouble') throw new UnfitHost(`${what}: ${reason}`);
        patient = isAnywhere || kind === 'outage';
        const next = firstAttempts + before + 1;
        said();
        if (next > FIRST_ATTEMPTS) said = task.waitFor(`${what}, attempt ${next}: ${reason}`);
        await sleep(Math.min(FIRST_PAUSE_MS * 2 ** before, LAST_PAUSE_MS));
      }
    }
  } finally {
    said();
  }
}

function failedBy(error: unknown): Failed | null {
  if (isCancellation(error) || !(error instanceof ActivityFailure)) return null;
  const { cause } = error;
  if (cause instanceof TimeoutFailure) {
    const { timeoutType } = cause;
    // Only a patient call has such an end.
    if (timeoutType === 'SCHEDULE_TO_CLOSE') return { kind: 'outage' };
    const isSilent = timeoutType === 'HEARTBEAT' || timeoutType === 'START_TO_CLOSE';
    return isSilent ? { kind: 'silent', reason: 'it sent no heartbeat' } : null;
  }
  if (!(cause instanceof ApplicationFailure)) return null;
  if (cause.type === ACTIVITY_PAUSED) return { kind: 'paused' };
  const reason = short(cause.message);
  // Error of the SDK in a worker without an activity of this name.
  if (cause.type === 'NotFoundError' && cause.message.includes('is not registered on this Worker'))
    return { kind: 'elsewhere', reason: 'this host runs a version without this activity' };
  const [detail] = (cause.details ?? []).map(mustRead) as [{ fault?: unknown }?];
  if (detail?.fault === 'lasting') return { kind: 'elsewhere', reason };
  if (cause.nonRetryable || cause.type === 'WorkerShutdown') return null;
  return { kind: detail?.fault === 'outage' ? 'outage' : 'trouble', reason };
}

const short = (text: string): string => (text.length > MAX_REASON ? `${text.slice(0, MAX_REASON)}…` : text);
