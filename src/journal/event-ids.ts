import { pause } from '../async/pause.js';
import { reasonOf, TaskError } from '../errors.js';
import type { Log } from '../log.js';
import type { TaskRef } from '../contract/activities.js';
import type { Store } from '../store/mongo.js';
import { reserveEventIds } from '../store/task-state.js';

/** Ids continue at a multiple of this after a loss. Those below the first one are every task's from its start. */
export const ID_BLOCK = 10_000;
/** So many ids are reserved beyond the newest, or as many as came within the last minute: a host without the database may run that long. */
const AHEAD = 4_000;
const MINUTE_MS = 60_000;
const RETRY_MS = 1_000;

/**
 * The ids that a journal may show: whichever host continues with the task when this one is lost, it begins beyond them.
 * An event beyond is written, and shown when the database has its id.
 */
export interface EventIds {
  /** The newest id that may be shown. */
  readonly upTo: number;
  /** Records that events reach this id, and reserves more in time. */
  reached(id: number): void;
  /**
   * Resolves when the id may be shown.
   * @throws TaskError `HostLost` when another host has the task; what the database says when it does not answer
   */
  cover(id: number): Promise<void>;
  /** Called whenever `upTo` has grown. */
  onGrown(tell: () => void): void;
  /** Reserves nothing further. */
  close(): void;
}

/** Reserves ids for the events of a task on its `generation`th host. Without the database it asks again each second. */
export function eventIds(
  { store, log }: { store: Store; log: Log },
  ref: TaskRef,
  generation: number,
  now: () => number = () => performance.now(),
): EventIds {
  const closed = new AbortController();
  let upTo = ID_BLOCK - 1;
  let newest = 0;
  let asking = false;
  let tell: () => void = () => undefined;
  const minute = { began: now(), first: -1, before: 0 };

  /** How many events the last minute or two brought at most in one. */
  function rate(id: number): number {
    if (minute.first < 0) minute.first = id;
    if (now() - minute.began > MINUTE_MS) {
      minute.before = id - minute.first;
      minute.first = id;
      minute.began = now();
    }
    return Math.max(minute.before, id - minute.first);
  }

  const wanted = () => newest + Math.max(AHEAD, rate(newest));

  async function reserve(id: number): Promise<void> {
    const next = (Math.floor(id / ID_BLOCK) + 1) * ID_BLOCK - 1;
    if (!(await reserveEventIds(store, ref, generation, next)))
      throw new TaskError('HostLost', `Another host continues task ${ref.taskId}`);
    upTo = Math.max(upTo, next);
    tell();
  }

  async function keepAhead(): Promise<void> {
    asking = true;
    try {
      while (wanted() > upTo && !closed.signal.aborted) {
        try {
          await reserve(wanted());
        } catch (error) {
          const { taskId } = ref;
          log.warn({ taskId, reason: reasonOf(error), upTo, newest }, 'events.unreserved');
          if (error instanceof TaskError) return closed.abort();
          await pause(RETRY_MS, closed.signal);
        }
      }
    } finally {
      asking = false;
    }
  }

  return {
    get upTo() {
      return upTo;
    },
    reached(id) {
      newest = id;
      if (wanted() > upTo && !asking && !closed.signal.aborted) void keepAhead();
    },
    async cover(id) {
      newest = Math.max(newest, id);
      if (id > upTo) await reserve(id);
    },
    onGrown: (listener) => void (tell = listener),
    close: () => closed.abort(),
  };
}
