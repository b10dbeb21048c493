import { existsSync, readdirSync, realpathSync, statSync, type Dirent, type Stats } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { isWithin, outermost } from './readable-places.js';

/**
 * What commands need of closed folders to run the programs in them that PATH names: each such entry, the installation it
 * belongs to where it is one, and the same of what links in it lead to. Never a closed folder, nor one that holds another.
 * @param closed real paths
 * @returns real paths, none below another
 */
export function programPlaces(path: string, closed: readonly string[]): string[] {
  const found = new Set<string>();
  const holdsClosed = (place: string) => closed.some((each) => isWithin(each, place));
  const isSeen = (place: string) => [...found].some((each) => isWithin(place, each));
  const visit = (place: string) => {
    const real = realOf(place);
    const root = real === undefined ? undefined : rootOf(real, closed);
    if (real === undefined || root === undefined || isSeen(real) || found.size >= MAX_PLACES) return;
    if (holdsClosed(real)) return;
    const installation = installationOf(isFolder(real) ? real : dirname(real), root);
    const isWhole = installation !== undefined && !holdsClosed(installation);
    const parts = isWhole ? partsOf(installation) : [];
    const isNamed = real === installation || parts.some((part) => isWithin(real, part));
    for (const each of isNamed ? parts : [...parts, real]) found.add(each);
    // They lead on, as `bin/python` of a virtual environment does.
    for (const folder of isWhole ? [real, join(installation, 'bin')] : [real])
      for (const link of linksIn(folder)) visit(link);
  };
  for (const entry of path.split(':').filter(isAbsolute)) visit(entry);
  return outermost([...found]);
}

/**
 * Names of places by which commands look for them, through a link that none of the folders which they see holds: entries
 * of PATH, and what lies in a home that is named by a link.
 * @param places what is open, of closed folders too
 */
export function namesBeside(
  places: readonly string[],
  { path, homes, seen }: { path: string; homes: readonly string[]; seen: readonly string[] },
): string[] {
  const entries = path.split(':').filter((entry) => {
    const real = isAbsolute(entry) ? realOf(entry) : undefined;
    return real !== undefined && real !== entry && places.some((each) => isWithin(real, each));
  });
  const ofHomes = homes.flatMap((home) => {
    const real = realOf(home);
    if (real === undefined || real === home) return [];
    return places.filter((each) => isWithin(each, real)).map((each) => join(home, relative(real, each)));
  });
  return outermost([...ofHomes, ...entries]).filter((name) => !seen.some((each) => isWithin(name, each)));
}

/** What a sandboxed command needs of codex: its executable, through which it starts, and the programs next to it. */
export function executablesOf(codex: string | undefined): string[] {
  const real = codex === undefined ? undefined : realOf(codex);
  return codex === undefined || real === undefined
    ? []
    : [codex, real, join(dirname(dirname(real)), 'codex-path')].filter((each) => existsSync(each));
}

const MAX_PLACES = 200;
const MAX_LINKS = 2_000;

/** Tools that keep all they need in one folder of the home, and nothing secret besides `PARTS`. */
const TOOLS = new Set([
  ...[
    '.pyenv',
    '.rbenv',
    '.nodenv',
    '.goenv',
    '.jenv',
    '.plenv',
    '.phpenv',
    '.tfenv',
    '.asdf',
    '.nvm',
    '.fnm',
  ],
  ...[
    '.volta',
    '.bun',
    '.deno',
    '.sdkman',
    '.rustup',
    '.ghcup',
    '.juliaup',
    '.elan',
    '.foundry',
    '.rye',
    '.dotnet',
  ],
  ...['.proto', '.npm-global', 'anaconda3', 'miniconda3', 'miniforge3', 'mambaforge', 'flutter'],
  ...['google-cloud-sdk', 'bin'],
]);
/** What programs need of tools that keep credentials too: keystores, certificates, tokens. */
const PARTS = new Map([
  ['.foundry', ['bin', 'versions']],
  ['.rye', ['shims', 'self', 'py', 'tools', 'bin']],
  ['.npm-global', ['bin', 'lib']],
  ['.dotnet', ['dotnet', 'host', 'shared', 'sdk', 'sdk-manifests', 'packs', 'templates', 'tools']],
]);
const partsOf = (installation: string): string[] =>
  PARTS.get(basename(installation))
    ?.map((name) => join(installation, name))
    .filter((each) => existsSync(each)) ?? [installation];

const PROGRAM_FOLDER = /^(s?bin|shims|condabin)$/;
const OF_INSTALLATION = ['lib', 'lib64', 'libexec'];
/** Whatever an installation with one of these lies in: a program made it there. */
const OF_ENVIRONMENT = ['pyvenv.cfg', 'conda-meta'];
const OF_REPOSITORY = ['.git', '.hg', '.svn', '.jj'];
const OF_PROJECT = ['.env', 'package.json', 'Gemfile', 'composer.json', 'pyproject.toml', 'Makefile'];

/** The folder with all that a folder of programs needs: a tool's own, or one that has the marks of an installation. */
function installationOf(folder: string, root: string): string | undefined {
  const [first = '', ...more] = relative(root, folder).split(sep);
  const top = join(root, first);
  // Go itself; a GOPATH of that name holds projects as well.
  if (TOOLS.has(first) || (first === 'go' && existsSync(join(top, 'VERSION')))) return top;
  const parent = dirname(folder);
  if (basename(folder) === '.bin' && basename(parent) === 'node_modules') return parent;
  // What lies directly in a home, or in its settings, may hold more than programs.
  if (more.length < (first === '.config' ? 3 : 2) || !PROGRAM_FOLDER.test(basename(folder))) return undefined;
  if (has(parent, OF_ENVIRONMENT)) return parent;
  const isProject = has(parent, OF_PROJECT) || isOfRepository(parent, root);
  return !isProject && has(parent, OF_INSTALLATION) ? parent : undefined;
}

/** A project may be a folder of a larger one. */
const isOfRepository = (folder: string, root: string): boolean =>
  folder !== root && (has(folder, OF_REPOSITORY) || isOfRepository(dirname(folder), root));

const has = (folder: string, names: readonly string[]): boolean =>
  names.some((name) => existsSync(join(folder, name)));

/** The closed folder that a place lies in, the nearest one. */
const rootOf = (place: string, closed: readonly string[]): string | undefined =>
  closed
    .filter((each) => each !== place && isWithin(place, each))
    .reduce<string | undefined>((best, each) => (best && best.length > each.length ? best : each), undefined);

/** Links in a folder that lead to programs. */
function linksIn(folder: string): string[] {
  const links = entriesOf(folder).filter((entry) => entry.isSymbolicLink());
  return links.slice(0, MAX_LINKS).flatMap(({ name }) => {
    const target = statOf(join(folder, name));
    return target?.isFile() && (target.mode & 0o111) !== 0 ? [join(folder, name)] : [];
  });
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

const isFolder = (path: string): boolean => statOf(path)?.isDirectory() ?? false;

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
