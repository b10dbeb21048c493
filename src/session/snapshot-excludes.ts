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

/**
 * Tells whether a path below `work` is left out. A pattern is held against the whole path, where `*` reaches
 * over slashes as with tar and as in the Python package, and against each name in it; `**` and braces mean
 * what they do elsewhere. Folders are asked before what is in them, so the last name stands for each.
 */
export function excluded(patterns: readonly string[] | null): (path: string) => boolean {
  const names = new Set<string>();
  const onName: Minimatch[] = [];
  const onPath: Minimatch[] = [];
  const onFlat: Minimatch[] = [];
  for (const given of patterns ?? DEFAULT_EXCLUDES) {
    const pattern = given.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '');
    if (pattern === '') continue;
    if (/^[\w .-]+$/.test(pattern)) names.add(pattern);
    else {
      (pattern.includes('/') ? onPath : onName).push(globOf(pattern));
      onFlat.push(globOf(flat(pattern)));
    }
  }
  return (path) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (names.has(name) || onName.some((glob) => glob.match(name))) return true;
    if (onPath.some((glob) => glob.match(path))) return true;
    // Without a slash in it the path is its name.
    return name !== path && onFlat.some((glob) => glob.match(flat(path)));
  };
}

/** Without slashes there is nothing at which `*` would stop. */
const flat = (path: string): string => path.replaceAll('/', '\u0001');

const globOf = (pattern: string): Minimatch =>
  new Minimatch(pattern, { dot: true, nocomment: true, nonegate: true });
