import { ApplicationFailure, Context } from '@temporalio/activity';
import type { ActivityCancellationDetails } from '@temporalio/common';
import { onAbort } from '../async/abort.js';
import type { LeaseRequest } from '../store/collections.js';
import { NEXT_TRY, ACTIVITY_PAUSED } from '../contract/activity-protocol.js';
import type { Steps } from './as-activity.js';
import { withHeartbeat } from './heartbeat.js';

/** A part of the shortest time that the workflow leaves a step silent. */
const HEARTBEAT_MS = 1_000;
/** How long a result is kept for a retry; Temporal may have been away longer than a heartbeat's time. */
const KEPT_MS = 600_000;

/**
 * Steps that heartbeat from their first second, so that one that was handed out and never came here is tried
 * again soon. Such a retry may also meet an earlier attempt that works on, because only its heartbeats or its answer
 * were lost: then it waits for that one and has its result, and does the step itself when that fails.
 * @param once steps that must not be done again when only the answer of an earlier attempt was lost
 */
export function idempotentActivities<S extends Steps>(steps: S, once: readonly (keyof S)[] = []): S {
  const attempts = new Map<string, Promise<unknown>>();
  const inTurn = (id: string, run: () => Promise<unknown>, keptMs: number): Promise<unknown> => {
    const attempt = attempts.get(id)?.catch(run) ?? run();
    attempts.set(id, attempt);
    const forget = () => void (attempts.get(id) === attempt && attempts.delete(id));
    attempt.then(() => (keptMs > 0 ? void setTimeout(forget, keptMs).unref() : forget()), forget);
    return attempt;
  };
  const wrapped = Object.entries(steps).map(([name, step]) => {
    const keptMs = once.includes(name) ? KEPT_MS : 0;
    return [
      name,
      (argument: never) => {
        const id = stepId();
        return withHeartbeat(() => inTurn(id, () => step(argument), keptMs), HEARTBEAT_MS);
      },
    ];
  });
  return Object.fromEntries(wrapped) as S;
}

/** The same for every attempt of the present step, also one that the workflow makes, and for no other step. */
export function stepId(): string {
  const { workflowExecution, activityId } = Context.current().info;
  const [step] = activityId.split(NEXT_TRY);
  return `${workflowExecution?.runId}/${step}`;
}

/** Which attempt of the present step this is. */
export function attemptOfStep(): LeaseRequest {
  return { step: stepId(), at: new Date(Context.current().info.currentAttemptScheduledTimestampMs) };
}

/** Why Temporal tells an attempt to end, and whether what it does is wanted no more then. */
const UNWANTED: { readonly [K in keyof ActivityCancellationDetails]: boolean } = {
  cancelRequested: true,
  workerShutdown: true,
  // The next attempt has the result of this one.
  notFound: false,
  timedOut: false,
  // An attempt that runs may go on, and its result is taken.
  paused: false,
  reset: false,
};

/** Aborts when the workflow or the worker ends this step, and when nobody says why it is to end. */
export function whenUnwanted(): AbortSignal {
  const context = Context.current();
  const { cancellationSignal } = context;
  const unwanted = new AbortController();
  const look = () => {
    const details = context.cancellationDetails;
    const reasons = KINDS.filter((kind) => details?.[kind]);
    if (reasons.length === 0 || reasons.some((kind) => UNWANTED[kind]))
      unwanted.abort(cancellationSignal.reason);
  };
  onAbort(cancellationSignal, look);
  return unwanted.signal;
}

const KINDS = Object.keys(UNWANTED) as (keyof ActivityCancellationDetails)[];

/**
 * Fails a step that ends because an operator paused it with a word for its workflow. Of a paused step Temporal tells
 * nothing otherwise: neither how it ends nor that its host is gone.
 */
export async function unlessPaused<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const { paused = false, cancelRequested = false } = Context.current().cancellationDetails ?? {};
    if (!paused || cancelRequested) throw error;
    throw ApplicationFailure.nonRetryable('Paused in Temporal', ACTIVITY_PAUSED);
  }
}
