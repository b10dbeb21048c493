import { readdirSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';

export interface PlacesBeside {
  readonly places: string[];
  /** Folders not all of whose entries are among them, with the number of those that are not. */
  readonly leftOut: readonly { readonly folder: string; readonly count: number }[];
}

/**
 * Everything of the file system next to these folders: the neighbours of each and of its parents. Together they are all
 * that a sandbox needs to see when it must not see the folders. What is made later next to one of the parents is not
 * among them. Where there are too many, what PATH names comes before the rest.
 */
export function placesBeside(folders: readonly string[], path = ''): PlacesBeside {
  const hidden = outermost(folders.map((each) => realpathSync(each)));
  const programs = path.split(':').filter(isAbsolute).flatMap(withTarget);
  const crowds = parentsOf(hidden).map(({ parent, below }) => {
    const isFit = (each: string) =>
      !below.has(each) && !KERNEL_PLACES.has(each) && !isPattern(each) && !leadsTo(each, hidden);
    // A parent that cannot be listed may still be passed through.
    const needed = new Set([...new Set(programs.flatMap((each) => entryOn(each, parent)))].filter(isFit));
    const names = entriesOf(parent).map((name) => join(parent, name));
    const rest = names.filter(isFit).sort(hiddenFirst);
    const wanted = [...new Set([...needed, ...rest])];
    return {
      parent,
      needed,
      wanted: wanted.slice(0, Math.max(MAX_NEIGHBOURS, needed.size)),
      patterns: names.filter(isPattern).length,
      all: wanted.length,
    };
  });
  const order = [
    ...crowds.flatMap(({ needed }) => [...needed]),
    ...crowds.flatMap(({ wanted, needed }) => wanted.filter((each) => !needed.has(each))),
  ];
  let bytes = 0;
  const taken = new Set(order.filter((each) => (bytes += sizeOf(each)) <= MAX_BYTES));
  const leftOut = crowds.map(({ parent, wanted, patterns, all }) => ({
    folder: parent,
    count: all + patterns - wanted.filter((each) => taken.has(each)).length,
  }));
  return { places: [...taken].sort(), leftOut: leftOut.filter(({ count }) => count > 0) };
}

/** Those of the folders that are below no other one. */
export const outermost = (folders: readonly string[]): string[] =>
  [...new Set(folders)].filter((each) => !folders.some((other) => other !== each && isWithin(each, other)));

/** Whether a path is a folder itself or below it. */
export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

/** Codex reads a path with one of these as a pattern, and then may deny nothing. */
export const isPattern = (path: string): boolean => /[*?[\]{}]/.test(path);

/** The sandbox makes its own. */
const KERNEL_PLACES = new Set(['/dev', '/proc', '/sys']);
/** Of one folder: each costs every command about 10 ms. */
const MAX_NEIGHBOURS = 200;
/**
 * The list travels in one argument of a command, of at most 128 KiB, with about 60 bytes around each path; the rest is
 * for what else a profile holds.
 */
const MAX_BYTES = 96 * 1024;
const sizeOf = (path: string): number => Buffer.byteLength(path) + 64;

interface Parent {
  readonly parent: string;
  /** Its entries on the way to the folders. */
  readonly below: ReadonlySet<string>;
}

/** Each parent of the folders, the root first. */
function parentsOf(folders: readonly string[]): Parent[] {
  const found = new Map<string, Set<string>>();
  for (const folder of folders)
    for (let below = folder; below !== dirname(below); below = dirname(below)) {
      const parent = dirname(below);
      found.set(parent, (found.get(parent) ?? new Set()).add(below));
    }
  return [...found]
    .map(([parent, below]) => ({ parent, below }))
    .sort((a, b) => (a.parent < b.parent ? -1 : 1));
}

/** The entry of a folder through which a path below it leads. */
function entryOn(path: string, folder: string): string[] {
  if (path === folder || !isWithin(path, folder)) return [];
  return [join(folder, relative(folder, path).split(sep)[0] ?? '')];
}

function withTarget(path: string): string[] {
  try {
    return [path, realpathSync(path)];
  } catch {
    return [];
  }
}

/** Tools of a home lie in its hidden folders. */
function hiddenFirst(one: string, other: string): number {
  const rank = (path: string) => (path.slice(path.lastIndexOf(sep) + 1).startsWith('.') ? 0 : 1);
  return rank(one) - rank(other) || (one < other ? -1 : 1);
}

/** Whether this neighbour is a link through which one of the folders could be seen after all. */
function leadsTo(path: string, hidden: readonly string[]): boolean {
  try {
    const real = realpathSync(path);
    return hidden.some((each) => isWithin(real, each) || isWithin(each, real));
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
