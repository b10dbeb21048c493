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

/** How often Temporal tries a step by itself before the task says that it fails. */
export const FIRST_ATTEMPTS = 2;
/** How long a step is tried that fails for a reason nobody knows, from its first failure on. */
export const GIVE_UP_MS = 300_000;
const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 20_000;
/** Tries of which nothing was heard before the host counts as gone. */
const SILENT_TRIES = 4;
/** Longest reason that is shown, in characters. */
const MAX_REASON = 300;
/**
 * `trouble`: nobody knows whether it passes. `outage`: it passes. `silent`: nothing was heard. `elsewhere`: it does not
 * pass here. `paused`: by an operator, which is no failure.
 */
type Failed = { kind: 'trouble' | 'outage' | 'silent' | 'elsewhere' | 'paused'; reason?: string };

/** How one more try of a step is to be made; `patient`: by Temporal itself, for minutes, for it only waits. */
export interface Try {
  /** How often it was made before, each of them several times by Temporal itself. */
  readonly before: number;
  readonly patient: boolean;
}

export interface Insistence {
  /** What fails, for people: a step and its host. */
  readonly what: string;
  /** How often Temporal makes the first try by itself. */
  readonly firstAttempts: number;
  /** From the first failure on, milliseconds; infinite: any worker can do it, whenever that is. */
  readonly giveUpMs: number | (() => number);
  /** Whether nothing heard means that the host is gone, at once. */
  readonly isFollowed: boolean;
}

/**
 * Makes a step until it succeeds or fails for good; from its third attempt on the task says what fails and why.
 * @throws what it failed with, when trying again cannot help; UnfitHost when it failed for too long for reasons that
 * nobody knows, or cannot be done there
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
            `${what} was paused in Temporal by an operator: it goes on as a new step, and so does the task`,
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
    // Only a patient try has such an end.
    if (timeoutType === 'SCHEDULE_TO_CLOSE') return { kind: 'outage' };
    const isSilent = timeoutType === 'HEARTBEAT' || timeoutType === 'START_TO_CLOSE';
    return isSilent ? { kind: 'silent', reason: 'nothing was heard of it' } : null;
  }
  if (!(cause instanceof ApplicationFailure)) return null;
  if (cause.type === ACTIVITY_PAUSED) return { kind: 'paused' };
  const reason = short(cause.message);
  // The SDK's own, of a worker that has no step of this name.
  if (cause.type === 'NotFoundError' && cause.message.includes('is not registered on this Worker'))
    return { kind: 'elsewhere', reason: 'this host runs a version without this step' };
  const [detail] = (cause.details ?? []).map(mustRead) as [{ fault?: unknown }?];
  if (detail?.fault === 'lasting') return { kind: 'elsewhere', reason };
  if (cause.nonRetryable || cause.type === 'WorkerShutdown') return null;
  return { kind: detail?.fault === 'outage' ? 'outage' : 'trouble', reason };
}

const short = (text: string): string => (text.length > MAX_REASON ? `${text.slice(0, MAX_REASON)}…` : text);
