import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { isWithin } from './readable-places.js';

/** Places of a task besides its workdir that its commands know. */
export interface TaskPlaces {
  readonly work: string;
  /** Home of commands, and where programs outside the sandbox start: no command can write it. */
  readonly user: string;
  /** What can be fetched again: commands write it, and no snapshot takes it. */
  readonly cache: string;
  /** Temporary files of its commands: in no snapshot, and gone with the task. */
  readonly temp: string;
  /** Programs of the host's, first in PATH. */
  readonly bin: string;
}

/** The places of the task with this workdir, which need not be there yet. */
export function placesOf(workDir: string): TaskPlaces {
  const work = existsSync(workDir) ? realpathSync(workDir) : workDir;
  const root = dirname(work);
  const [user, cache, temp] = [join(root, 'user'), join(root, 'cache'), join(root, 'tmp')];
  return { work, user, cache, temp, bin: `${work}-bin` };
}

/** The same, made where they are not there. */
export function makePlaces(workDir: string): TaskPlaces {
  const places = placesOf(workDir);
  for (const folder of [places.user, places.cache, places.temp])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of START_FILES) {
    rmSync(join(places.user, name), { recursive: true, force: true });
    writeFileSync(join(places.user, name), startFile(places), { flag: 'wx', mode: 0o600 });
  }
  return places;
}

/**
 * Read by login shells of sh and bash, by any zsh, by a bash that runs a script (`BASH_ENV`), and by one whose input is a
 * socket, as that of a command of codex is.
 */
const START_FILES = ['.profile', '.zshenv', '.bashrc'];

/**
 * The sandbox has none of the machine's temporary folders. Its root belongs to one command alone, so a link to the task's
 * own can stand there. Only for a name that this machine has: a command outside the sandbox sees it, and makes none.
 */
function startFile({ temp }: TaskPlaces): string {
  const quoted = `'${temp.replaceAll("'", `'\\''`)}'`;
  const lines = ['/tmp', '/var/tmp']
    .filter((name) => existsSync(name))
    .map(
      (name) =>
        `[ -e ${name} ] || { mkdir -p ${dirname(name)} && ln -s ${quoted} ${name}; } 2> /dev/null || :`,
    );
  return `${lines.join('\n')}\n`;
}

/**
 * What sends the user's files of programs to where commands can and cannot write. Their configuration belongs to HOME, so
 * that nothing a command wrote configures a program that runs outside the sandbox.
 */
export const homeEnvironment = ({ user, cache, temp }: TaskPlaces): Record<string, string> => ({
  HOME: user,
  BASH_ENV: join(user, '.profile'),
  TMPDIR: temp,
  TMP: temp,
  TEMP: temp,
  XDG_CACHE_HOME: cache,
  npm_config_cache: join(cache, 'npm'),
  YARN_CACHE_FOLDER: join(cache, 'yarn'),
  PIP_CACHE_DIR: join(cache, 'pip'),
  UV_CACHE_DIR: join(cache, 'uv'),
  GOMODCACHE: join(cache, 'go-mod'),
});

/** A PATH without entries that commands can write, or that depend on where a program is started; `own` stays. */
export const safePath = (path: string, writable: readonly string[], own?: string): string =>
  path
    .split(':')
    .filter((entry) => entry === own || (isAbsolute(entry) && !isWritable(entry, writable)))
    .join(':');

/** Whether a path is at or below one of these places, links followed. */
export function isWritable(path: string, writable: readonly string[]): boolean {
  const real = existsSync(path) ? realpathSync(path) : path;
  return writable.some((place) => isWithin(path, place) || isWithin(real, place));
}
