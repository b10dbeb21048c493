import { createHash } from 'node:crypto';

/** Ids that are a safe name as they are. None of them begins with `_`, as the names of all others do. */
const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const KEPT_CHARACTERS = 80;
const HASH_DIGITS = 12;

/**
 * The name under which a task's folders lie: its id where that is a safe name, else `_`, the first 80 characters of
 * the id with `_` in the place of all but letters, digits, `_` and `-`, then `-` and 12 hex digits of its SHA-256.
 * Nobody else makes a path of an id.
 */
export function folderNameOf(taskId: string): string {
  if (SAFE_ID.test(taskId)) return taskId;
  const kept = taskId.slice(0, KEPT_CHARACTERS).replaceAll(/[^A-Za-z0-9_-]/g, '_');
  const hash = createHash('sha256').update(taskId, 'utf8').digest('hex').slice(0, HASH_DIGITS);
  return `_${kept}-${hash}`;
}

/** Whether a name in a folder of tasks can be one that `folderNameOf` makes. */
export const isFolderName = (name: string): boolean =>
  SAFE_ID.test(name) || /^_[A-Za-z0-9_-]{0,80}-[0-9a-f]{12}$/.test(name);
