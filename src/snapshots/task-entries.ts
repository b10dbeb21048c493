import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { TaskFolder } from '../task-folder/task-folder.js';
import { scanTree, type Skipped, type TreeEntry } from './scan-tree.js';
import { excluded } from './snapshot-excludes.js';
import { isPartOfUpload } from '../workdir/store-upload.js';

/**
 * What belongs into a snapshot of a task; null where a walk may pause.
 * @param only names of members: all others are left out
 */
export function* taskEntries(
  folder: TaskFolder,
  exclude: readonly string[] | null,
  skipped: Skipped,
  only: ReadonlySet<string> | null = null,
): Generator<TreeEntry | null> {
  const isWanted = ({ name }: Pick<TreeEntry, 'name'>) => only === null || only.has(name);
  const onTheWay = only && withParents(only);
  const excludes = excluded(exclude);
  const isExcluded = (inside: string) => isPartOfUpload(inside) || excludes.has(inside);
  const isOff = (name: string, isLeftOut: (inside: string) => boolean) =>
    onTheWay ? (inside: string) => !onTheWay.has(`${name}/${inside}`) : isLeftOut;
  const scan = function* (root: string, name: string, isLeftOut: (inside: string) => boolean) {
    for (const entry of scanTree(root, name, isOff(name, isLeftOut), skipped))
      yield entry && isWanted(entry) ? entry : null;
  };
  yield* scan(folder.work, 'work', isExcluded);
  if (only === null && exclude !== null) skipped.unfit = excludes.unfit();
  // Codex writes both again where they are missing, at the first start and at the first turn.
  for (const [path, name] of [
    [folder.keptSettings, CONFIG],
    [folder.keptSecrets, SECRETS],
  ] as const) {
    const found = statFile(path);
    const named = found && { ...found, name };
    if (named && isWanted(named)) yield named;
  }
  const sessions = join(folder.codexHome, 'sessions');
  if (isFolder(sessions)) yield* scan(sessions, SESSIONS, () => false);
}

/** The first is the task's without its secrets, which are in the second, encrypted. */
export const CONFIG = 'home/.codex/config.toml';
export const SECRETS = 'home/.codex/config.secrets';
const SESSIONS = 'home/.codex/sessions';

function withParents(names: ReadonlySet<string>): Set<string> {
  const all = new Set(names);
  for (const name of names)
    for (let at = name.lastIndexOf('/'); at > 0; at = name.lastIndexOf('/', at - 1)) {
      const parent = name.slice(0, at);
      if (all.has(parent)) break;
      all.add(parent);
    }
  return all;
}

function statFile(path: string): Pick<TreeEntry, 'path' | 'type' | 'stat'> | null {
  try {
    const stat = lstatSync(path, { bigint: true });
    return stat.isFile() ? { path, type: 'file', stat } : null;
  } catch {
    return null;
  }
}

function isFolder(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}
