import type { SnapshotDocument } from './collections.js';

/** What retention looks at. */
export type Retained = Pick<SnapshotDocument, 'endState' | 'runId'>;

/**
 * The snapshots of one key that go, given all of it, newest first. The newest `keep` that tasks took at their ends
 * stay, and checkpoints as far as these leave room. Next to them stays the newest checkpoint of each run that has no
 * snapshot of its end (of at most `keep` runs): another host may need it to continue.
 */
export function staleSnapshots<T extends Retained>(newestFirst: readonly T[], keep: number): T[] {
  const ends = newestFirst.filter(({ endState }) => endState !== 'running');
  const ended = new Set(ends.flatMap(({ runId }) => runId ?? []));
  const needed = new Map<string | undefined, T>();
  for (const each of newestFirst) {
    if (each.endState !== 'running' || (each.runId !== undefined && ended.has(each.runId))) continue;
    if (needed.size < keep && !needed.has(each.runId)) needed.set(each.runId, each);
  }
  const kept = new Set<T>([...ends.slice(0, keep), ...needed.values()]);
  const checkpoints = newestFirst.filter(({ endState }) => endState === 'running');
  for (const each of checkpoints) if (kept.size < keep) kept.add(each);
  return newestFirst.filter((each) => !kept.has(each));
}
