import { Minimatch } from 'minimatch';

/** What a snapshot leaves out unless the task says otherwise. */
export const DEFAULT_EXCLUDES: readonly string[] = [
  '.git',
  'node_modules',
  '__pycache__',
  '.venv',
  '*.pyc',
  '.DS_Store',
  '*.sqlite*',
];

/** Tells whether a path below `work` is left out: a pattern is held against the whole path and its last name. */
export function excluded(patterns: readonly string[] | null): (path: string) => boolean {
  const globs = (patterns ?? DEFAULT_EXCLUDES).map((pattern) => new Minimatch(pattern, { dot: true }));
  return (path) => {
    // Folders are asked before what is in them, so the last name is the only one not yet held against.
    const name = path.slice(path.lastIndexOf('/') + 1);
    return globs.some((glob) => glob.match(path) || glob.match(name));
  };
}
