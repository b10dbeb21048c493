import { within } from '../async/within.js';
import { pause } from '../async/pause.js';
import { reasonOf, TaskError } from '../errors.js';
import { openEvents } from './open-events.js';
import type { TaskEvent } from './sse.js';

/** Where a task's listener is now. */
export interface EventPlace {
  /** Null: the task has no host yet. */
  readonly url: string | null;
  /** The workflow is over. */
  readonly ended: boolean;
}

export interface FollowOptions {
  /** The newest event already seen; default: all events from the first. */
  lastEventId?: number | undefined;
  /** Ends the events without an error. */
  signal?: AbortSignal | undefined;
  /** Told why the stream was lost; it is being asked for again. */
  onRetry?: ((reason: string) => void) | undefined;
}

export interface EventSourceOf {
  readonly taskId: string;
  /** The header's value. */
  readonly authorization: string;
  /** @throws TaskError `NotFound` when there is no such task, `Unavailable` when nobody can say */
  locate(): Promise<EventPlace>;
  /** A connection without a byte for so long is dead: the server sends a ping every 15 s. */
  readonly idleMs?: number;
}

interface Progress {
  last: number;
  /** Attempts since the last event. */
  attempts: number;
}

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
const IDLE_MS = 45_000;
/** How long an answer is waited for before the last known listener is tried. */
const PATIENCE_MS = 500;
/** A running task's worker may come back at any time; for a task that is over there may be none. */
const TRIES_AFTER_END = 4;

/**
 * The events of a task until it is closed, over as many connections and hosts as it takes.
 * @throws TaskError `NotFound`, `BadInput` (wrong password), or why an ended task's events are out of reach
 */
export async function* followEvents(
  source: EventSourceOf,
  { lastEventId = 0, signal = new AbortController().signal, onRetry }: FollowOptions = {},
): AsyncGenerator<TaskEvent> {
  const progress: Progress = { last: lastEventId, attempts: 0 };
  let place: EventPlace | null = null;
  let known: string | null = null;
  const locate = finder(source);
  while (!signal.aborted) {
    let reason = 'no host has the task yet';
    progress.attempts += 1;
    try {
      place ??= await locate(known);
      known = place.url ?? known;
      if (place.url !== null) {
        if ((yield* oneConnection(source, place.url, progress, signal)) === 'over') return;
        reason = 'the stream ended';
      } else if (place.ended) return;
    } catch (error) {
      if (signal.aborted) return;
      if (isFinal(error, place?.ended ?? false, progress.attempts))
        throw place?.ended === true ? ofEnded(error, source.taskId) : error;
      reason = reasonOf(error);
    }
    // A connection that gave events is tried again as it was; after one without any the task may be elsewhere.
    if (progress.attempts > 0) place = null;
    onRetry?.(reason);
    await pause(pauseMs(progress.attempts), signal);
  }
}

/**
 * Asks where a task's listener is, once at a time. While nobody says, the last known one is the best guess: Temporal
 * may be out of reach, or a question that a killed worker had taken waits for its 10 s.
 */
function finder(source: EventSourceOf): (known: string | null) => Promise<EventPlace> {
  let asked: Promise<EventPlace> | null = null;
  return async (known) => {
    asked ??= source.locate();
    const guess = known === null ? null : { url: known, ended: false };
    try {
      const place = await (guess ? within(PATIENCE_MS, asked) : asked);
      // An answer that comes after the guess is the next attempt's.
      if (!place) return guess!;
      asked = null;
      return place;
    } catch (error) {
      asked = null;
      if (guess === null || isFinal(error, false, 0)) throw error;
      return guess;
    }
  };
}

async function* oneConnection(
  { authorization, taskId, idleMs = IDLE_MS }: EventSourceOf,
  url: string,
  progress: Progress,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, 'over' | 'cut'> {
  const events = await openEvents({ url, authorization, taskId, idleMs, signal, lastEventId: progress.last });
  if (!events) return 'over';
  for await (const event of events) {
    progress.attempts = 0;
    progress.last = event.id;
    yield event;
    if (isLast(event)) return 'over';
  }
  return 'cut';
}

/** Also one of a worker that tells less, or more, of the end. */
const isLast = ({ event }: TaskEvent): boolean => 'type' in event && event.type === 'x-optio-closed';

function isFinal(error: unknown, ended: boolean, attempts: number): boolean {
  if (!(error instanceof TaskError)) return true;
  if (error.code === 'NotFound' || error.code === 'BadInput') return true;
  return ended && (error.code === 'SessionNotHere' || attempts >= TRIES_AFTER_END);
}

/** Its host does not have an ended task any more: that is no fault of the listener. */
function ofEnded(error: unknown, taskId: string): unknown {
  if (!(error instanceof TaskError) || error.code !== 'SessionNotHere') return error;
  return new TaskError(
    'NotFound',
    `Task ${taskId} has ended, and its events are kept no more: they go after CODEX_TASK_KEEP_ENDED, or with codex-task purge`,
    { cause: error },
  );
}

function pauseMs(attempts: number): number {
  const longest = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempts);
  return longest * (0.75 + Math.random() / 4);
}
