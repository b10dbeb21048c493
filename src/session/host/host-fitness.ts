import { reasonOf, TaskError } from '../../errors.js';
import { faultOf } from '../../process/fault-of.js';
import type { Log } from '../../log.js';
import { noteUnfit, readUnfit } from '../../store/hosts.js';
import type { Store } from '../../store/mongo.js';
import type { HostTasks } from '../model/host-tasks.js';
import type { HostFitness } from '../model/host-fitness.js';

/** Error of an activity on a host known to be unfit: the task begins elsewhere. */
export class UnfitHere extends Error {
  override readonly name = 'UnfitHere';
}

/** Consecutive failures. */
const MAX_FAILURES = 3;
const FIRST_PAUSE_MS = 5_000;
const LAST_PAUSE_MS = 300_000;
const MAX_REASON = 300;

export async function openFitness(
  store: Store,
  hostId: string,
  tasks: HostTasks,
  log: Log,
): Promise<HostFitness> {
  let unfit = await readUnfit(store, hostId);
  let failures = 0;
  let trial: string | null = null;
  let pauseMs = FIRST_PAUSE_MS;
  let nextAt = 0;
  if (unfit) log.error({ hostId, ...unfit }, 'host.unfit');

  const keep = () =>
    void noteUnfit(store, hostId, unfit).catch((error: unknown) =>
      log.warn({ hostId, reason: reasonOf(error) }, 'host.fitness.unsaved'),
    );
  const isTrying = () => trial !== null && tasks.find(trial) !== undefined;
  const mayTry = () => !isTrying() && performance.now() >= nextAt;
  const pause = () => {
    trial = null;
    nextAt = performance.now() + pauseMs;
    setTimeout(() => tasks.changed(), pauseMs + 1).unref();
    pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
  };

  return {
    get unfit() {
      return unfit;
    },
    allows: (reserved) => unfit === null || (reserved === 0 && mayTry()),
    admits(taskId) {
      if (unfit === null || trial === taskId) return true;
      if (!mayTry()) return false;
      trial = taskId;
      return true;
    },
    succeeded(step) {
      if (unfit === null) failures = 0;
      if (unfit?.step !== step) return;
      log.warn({ hostId, step }, 'host.fit');
      [unfit, failures, trial, pauseMs, nextAt] = [null, 0, null, FIRST_PAUSE_MS, 0];
      keep();
      tasks.changed();
    },
    failed(step, taskId, error) {
      const fault = faultOf(error);
      if (error instanceof TaskError || fault === 'outage' || fault === 'ours' || isStopped(error))
        return error;
      const reason = reasonOf(error).slice(0, MAX_REASON);
      failures++;
      if (unfit === null && failures >= MAX_FAILURES) {
        unfit = { step, reason, since: new Date() };
        log.error({ hostId, ...unfit }, 'host.unfit');
        keep();
      }
      if (trial !== taskId) return error;
      pause();
      return new UnfitHere(reason, { cause: error });
    },
  };
}

const isStopped = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';
