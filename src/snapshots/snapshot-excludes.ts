import { Minimatch } from 'minimatch';

/** What a snapshot leaves out unless the task says otherwise: only what can be made again. */
export const DEFAULT_EXCLUDES: readonly string[] = [
  'node_modules',
  '__pycache__',
  '.venv',
  '*.pyc',
  '.DS_Store',
];

/** What a snapshot leaves out. */
export interface Excludes {
  /** Whether a path below `work` is left out. Folders are asked before what is in them. */
  has(path: string): boolean;
  /** The patterns that no path fitted so far. */
  unfit(): string[];
}

type Fits = (path: string, name: string) => boolean;

/**
 * Reads patterns. One is held against the whole path, where `*` reaches over slashes as with tar and as in the Python
 * package, and against each name in it; `**` and braces mean what they do elsewhere, `+(…)` and its like mean
 * themselves. One that begins with `/` or `./` is held against the whole path alone, as in a .gitignore. Folders are
 * asked before what is in them, so the last name stands for each.
 */
export function excluded(patterns: readonly string[] | null): Excludes {
  const rules = (patterns ?? DEFAULT_EXCLUDES).flatMap((given) => {
    const fits = ruleOf(given);
    return fits ? [{ given, fits }] : [];
  });
  const unfit = new Set(rules);
  return {
    has(path) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      if (!rules.some(({ fits }) => fits(path, name))) return false;
      for (const rule of unfit) if (rule.fits(path, name)) unfit.delete(rule);
      return true;
    },
    unfit: () => [...unfit].map(({ given }) => given),
  };
}

/** Null: the pattern means nothing. */
function ruleOf(given: string): Fits | null {
  const pattern = given.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '');
  if (pattern === '') return null;
  const whole = globOf(pattern);
  if (/^\.?\//.test(given)) return (path) => whole.match(path);
  // The usual ones: a path that fits has a name that does, and its folders were asked before.
  const plain = /^(\*?)([\w .-]+)(\*?)$/.exec(pattern);
  const text = plain?.[2] ?? '';
  if (plain && plain[1] === '' && plain[3] === '') return (_, name) => name === text;
  if (plain && plain[1] === '*')
    return plain[3] === '' ? (_, name) => name.endsWith(text) : (_, name) => name.includes(text);
  const onFlat = globOf(flat(pattern));
  const hasSlash = pattern.includes('/');
  return (path, name) =>
    whole.match(hasSlash ? path : name) ||
    // Without a slash in it the path is its name.
    (name !== path && onFlat.match(flat(path)));
}

/** Without slashes there is nothing at which `*` would stop. */
const flat = (path: string): string => path.replaceAll('/', '\u0001');

const globOf = (pattern: string): Minimatch =>
  new Minimatch(pattern, { dot: true, nocomment: true, nonegate: true, noext: true });
