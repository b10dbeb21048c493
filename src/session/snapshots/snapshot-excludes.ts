import { Minimatch } from 'minimatch';

/** What a snapshot leaves out unless the task says otherwise: only what can be made again. */
export const DEFAULT_EXCLUDES: readonly string[] = [
  'node_modules',
  '__pycache__',
  '.venv',
  '*.pyc',
  '.DS_Store',
];

/**
 * Tells whether a path below `work` is left out. A pattern is held against the whole path, where `*` reaches
 * over slashes as with tar and as in the Python package, and against each name in it; `**` and braces mean
 * what they do elsewhere, `+(…)` and its like mean themselves. One that begins with `/` or `./` is held against the whole
 * path alone, as in a .gitignore. Folders are asked before what is in them, so the last name stands for each.
 */
export function excluded(patterns: readonly string[] | null): (path: string) => boolean {
  const names = new Set<string>();
  const ends: string[] = [];
  const parts: string[] = [];
  const onName: Minimatch[] = [];
  const onPath: Minimatch[] = [];
  const onFlat: Minimatch[] = [];
  for (const given of patterns ?? DEFAULT_EXCLUDES) {
    const pattern = given.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '');
    if (pattern === '') continue;
    if (/^\.?\//.test(given)) {
      onPath.push(globOf(pattern));
      continue;
    }
    const plain = /^(\*?)([\w .-]+)(\*?)$/.exec(pattern);
    if (plain && plain[1] === '' && plain[3] === '') names.add(pattern);
    // The usual ones: a path that fits has a name that does, and its folders were asked before.
    else if (plain && plain[1] === '*') (plain[3] === '' ? ends : parts).push(plain[2]!);
    else {
      (pattern.includes('/') ? onPath : onName).push(globOf(pattern));
      onFlat.push(globOf(flat(pattern)));
    }
  }
  return (path) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (names.has(name) || ends.some((end) => name.endsWith(end))) return true;
    if (parts.some((part) => name.includes(part)) || onName.some((glob) => glob.match(name))) return true;
    if (onPath.some((glob) => glob.match(path))) return true;
    // Without a slash in it the path is its name.
    return name !== path && onFlat.some((glob) => glob.match(flat(path)));
  };
}

/** Without slashes there is nothing at which `*` would stop. */
const flat = (path: string): string => path.replaceAll('/', '\u0001');

const globOf = (pattern: string): Minimatch =>
  new Minimatch(pattern, { dot: true, nocomment: true, nonegate: true, noext: true });
