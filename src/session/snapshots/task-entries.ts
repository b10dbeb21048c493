import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { TaskFolder } from '../records/task-folder.js';
import { scanTree, type Skipped, type TreeEntry } from './scan-tree.js';
import { excluded } from './snapshot-excludes.js';

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
  const isExcluded = excluded(exclude);
  const isOff = (name: string, isLeftOut: (inside: string) => boolean) =>
    onTheWay ? (inside: string) => !onTheWay.has(`${name}/${inside}`) : isLeftOut;
  const scan = function* (root: string, name: string, isLeftOut: (inside: string) => boolean) {
    for (const entry of scanTree(root, name, isOff(name, isLeftOut), skipped))
      yield entry && isWanted(entry) ? entry : null;
  };
  yield* scan(folder.work, 'work', isExcluded);
  // Codex writes both anew where they are missing, at the first start and at the first turn.
  const config = statFile(join(folder.codexHome, 'config.toml'));
  const named = config && { ...config, name: 'home/.codex/config.toml' };
  if (named && isWanted(named)) yield named;
  const sessions = join(folder.codexHome, 'sessions');
  if (isFolder(sessions)) yield* scan(sessions, SESSIONS, () => false);
}

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
