import { toWellFormed } from '../codex/well-formed.js';
import type { Skipped } from './scan-tree.js';

/** How many names a warning lists. */
const NAMED = 5;

/** Warnings about what a snapshot lacks, and about patterns of the task that match nothing. */
export function leftOut({ count, first, unfit = [] }: Skipped): string[] {
  const named = first.slice(0, NAMED).map(({ name, why }) => `${name} (${why})`);
  const files = `Not in the snapshot: ${named.join(', ')}${more(count, named.length)}; make them readable files or folders`;
  const patterns = unfit.slice(0, NAMED);
  const unused = `Nothing in the workdir matches snapshot.exclude ${patterns.join(', ')}${more(unfit.length, patterns.length)}`;
  return [...(count > 0 ? [files] : []), ...(unfit.length > 0 ? [unused] : [])].map(toWellFormed);
}

const more = (all: number, named: number): string => (all > named ? ` and ${all - named} more` : '');
