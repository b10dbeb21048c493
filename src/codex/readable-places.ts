import { readdirSync, realpathSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';

/**
 * Everything of the file system beside a folder: the neighbours of the folder and of each of its parents.
 * Together they are all that a sandbox needs to see when it must not see that folder. What is made later
 * beside one of the parents is not among them.
 */
export function placesBeside(folder: string): string[] {
  const hidden = realpathSync(folder);
  const places: string[] = [];
  for (let below = hidden; below !== dirname(below); below = dirname(below)) {
    const parent = dirname(below);
    const neighbours = entriesOf(parent)
      .map((name) => join(parent, name))
      .filter((path) => path !== below && !KERNEL_PLACES.has(path) && !leadsTo(path, hidden));
    // The list travels in one argument of a command, 128 KiB at most.
    if (neighbours.length <= MAX_NEIGHBOURS) places.push(...neighbours);
  }
  return places.sort();
}

/** Whether a path is a folder itself or below it. */
export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

/** The sandbox makes its own. */
const KERNEL_PLACES = new Set(['/dev', '/proc', '/sys']);
const MAX_NEIGHBOURS = 200;

/** Whether this neighbour is a link through which the folder could be seen after all. */
function leadsTo(path: string, hidden: string): boolean {
  try {
    const real = realpathSync(path);
    return isWithin(real, hidden) || isWithin(hidden, real);
  } catch {
    // A dead link, or a place this user cannot look into.
    return false;
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
