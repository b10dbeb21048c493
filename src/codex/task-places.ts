import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { isWithin } from './readable-places.js';

/** Places of a task beside its workdir that its commands know. */
export interface TaskPlaces {
  readonly work: string;
  /** Home of commands, and where programs outside the sandbox start: no command can write it. */
  readonly user: string;
  /** What can be fetched again: commands write it, and no snapshot takes it. */
  readonly cache: string;
  /** Programs of the host's, first in PATH. */
  readonly bin: string;
}

/** The places of the task with this workdir, which need not be there yet. */
export function placesOf(workDir: string): TaskPlaces {
  const work = existsSync(workDir) ? realpathSync(workDir) : workDir;
  const root = dirname(work);
  return { work, user: join(root, 'user'), cache: join(root, 'cache'), bin: `${work}-bin` };
}

/** The same, made where they are not there. */
export function makePlaces(workDir: string): TaskPlaces {
  const places = placesOf(workDir);
  for (const folder of [places.user, places.cache]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  return places;
}

/**
 * What sends the user's files of programs to where commands can and cannot write. Their configuration belongs to HOME, so
 * that nothing a command wrote configures a program that runs outside the sandbox.
 */
export const homeEnvironment = ({ user, cache }: TaskPlaces): Record<string, string> => ({
  HOME: user,
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
