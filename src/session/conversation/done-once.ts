import { REMEMBERED } from '../../task-folder/ledger.js';

/** Runs an act unless it was done under this id. */
export type DoOnce = (id: string, act: () => Promise<void>) => Promise<void>;

/**
 * Runs each act once by its id, across workers: a repeated one waits for the first and runs only if that failed.
 * @param past ids of acts of an earlier process, oldest first
 */
export function openDoneOnce(past: Iterable<string>): DoOnce {
  const done = new Map<string, Promise<void>>();
  const remember = (id: string, doing: Promise<void>) => {
    done.set(id, doing);
    if (done.size > REMEMBERED) done.delete(done.keys().next().value!);
  };
  for (const id of past) remember(id, Promise.resolve());
  return (id, act) => {
    const earlier = done.get(id);
    if (earlier) return earlier;
    const doing = act();
    remember(id, doing);
    doing.catch(() => done.get(id) === doing && done.delete(id));
    return doing;
  };
}
