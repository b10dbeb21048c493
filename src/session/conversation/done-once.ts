import { REMEMBERED } from '../../task-folder/ledger.js';

/** Does something unless it was done under this id. */
export type DoOnce = (id: string, act: () => Promise<void>) => Promise<void>;

/**
 * Does each thing once by its id, over workers too: one that comes again waits for the first, and is done again only
 * when that one failed.
 * @param past ids of what an earlier process did, oldest first
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
