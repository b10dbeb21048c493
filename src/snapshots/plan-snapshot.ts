import { taskEntries } from './task-entries.js';
import { noneSkipped, type Skipped } from './scan-tree.js';
import { createSlices } from './slices.js';
import { MAX_MEMBERS, fileStateOf, type Member, type SnapshotManifest } from './snapshot-manifest.js';
import type { TaskFolder } from '../task-folder/task-folder.js';

/** What a snapshot has to store, given the last one. */
export type SnapshotPlan =
  | { readonly kind: 'whole' }
  /** Nothing changed: the blobs of the last one are this one's too. */
  | { readonly kind: 'same'; readonly skipped: Skipped }
  | {
      readonly kind: 'changes';
      readonly skipped: Skipped;
      /** Names of the members to store. */
      readonly changed: ReadonlySet<string>;
      readonly removed: readonly string[];
      /** What stays as it is, with the blob that holds it. */
      readonly kept: Map<string, Member>;
    };

/** With this many blobs, the next snapshot is a whole one again: a restore reads them all. */
const MAX_BLOBS = 8;
/** Content up to which a whole archive costs no more than finding out what changed is worth. */
const SMALL_BYTES = 4 * 1024 * 1024;

/**
 * Compares the task's files with what the last snapshot found. A snapshot at the end is one whole archive, so
 * that anyone can read it with tar; a checkpoint may add to the last one what changed, until half of what is
 * stored is out of date.
 */
export async function planSnapshot(
  folder: TaskFolder,
  exclude: readonly string[] | null,
  last: SnapshotManifest | null,
  kind: 'checkpoint' | 'end',
  maxChanged: number = MAX_MEMBERS,
): Promise<SnapshotPlan> {
  if (!last || (kind === 'end' && last.blobs.length > 1)) return { kind: 'whole' };
  const skipped = noneSkipped();
  const changed = new Set<string>();
  const same: string[] = [];
  let live = 0;
  let fresh = 0;
  const slices = createSlices();
  for (const entry of taskEntries(folder, exclude, skipped)) {
    const pause = slices.pause();
    if (pause) await pause;
    if (!entry) continue;
    const known = last.members.get(entry.name);
    const size = entry.type === 'file' ? Number(entry.stat.size) : 0;
    live += size;
    if (known && known.state === fileStateOf(entry.type, entry.stat)) same.push(entry.name);
    else {
      fresh += size;
      changed.add(entry.name);
      // Stores the whole: each entry is held in memory until all are known, and too many would not be remembered.
      if (changed.size > maxChanged) return { kind: 'whole' };
    }
  }
  if (changed.size === 0 && same.length === last.members.size) return { kind: 'same', skipped };
  const stored = last.sizes.reduce((sum, size) => sum + size, 0) + fresh;
  const isWorthIt = live > SMALL_BYTES && stored < 2 * live && last.blobs.length < MAX_BLOBS;
  if (kind === 'end' || !isWorthIt) return { kind: 'whole' };
  const kept = new Map(same.map((name) => [name, last.members.get(name)!]));
  const removed = [...last.members.keys()].filter((name) => !kept.has(name) && !changed.has(name));
  return { kind: 'changes', skipped, changed, removed, kept };
}
