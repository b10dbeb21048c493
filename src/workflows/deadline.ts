import { CancellationScope, sleep } from '@temporalio/workflow';

/** One timer for a deadline that changes. */
export interface Deadline {
  /** Whether the time that was set last is over. */
  readonly isOver: boolean;
  /** Sets the time, in milliseconds since the epoch; null: no deadline. */
  set(at: number | null): void;
  /** Cancels the timer. */
  clear(): void;
}

/**
 * Opens a deadline without a time. Each timer costs two events of the history, so only an earlier time or the end
 * cancels a running one; one that fires too soon is started again.
 */
export function openDeadline(): Deadline {
  let due: number | null = null;
  let fired = 0;
  let timer: { at: number; scope: CancellationScope } | null = null;
  const clear = () => {
    timer?.scope.cancel();
    timer = null;
  };
  const start = (at: number) => {
    const scope = new CancellationScope();
    const mine = { at, scope };
    timer = mine;
    const ended = scope.run(() => sleep(Math.max(at - Date.now(), 1)));
    ended.then(
      () => {
        if (timer !== mine) return;
        timer = null;
        fired = at;
        if (due !== null && due > at) start(due);
      },
      () => undefined,
    );
  };
  return {
    get isOver() {
      return due !== null && Math.max(fired, Date.now()) >= due;
    },
    set(at) {
      due = at;
      if (at === null || (timer && timer.at <= at)) return;
      clear();
      start(at);
    },
    clear,
  };
}
