import { readdirSync, realpathSync, statSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { homeFolder } from '../process/home-folder.js';
import { isWithin } from './readable-places.js';

/** Where everybody's temporary files lie. */
export const temporaryFolders = (): string[] => realOf(['/tmp', '/var/tmp', '/usr/tmp', ...ownTemporary()]);

/**
 * Folders that commands do not see but for what is named of them: the homes of the worker's user, what everybody's
 * temporary files lie in, and what is there at run time for that user or the worker alone. Of a home that is a folder of
 * the system only the hidden entries.
 */
export const closedPlaces = (env: NodeJS.ProcessEnv): string[] => [
  ...new Set([...temporaryFolders(), ...homesOf(env).flatMap(closedOfHome), ...runtimeFolders(env)]),
];

/** The homes of the worker's user as they are named, and where they really are. */
export function homesOf(env: NodeJS.ProcessEnv): string[] {
  const homes = [homeFolder(env), homeByName()].filter((each) => each !== undefined && isAbsolute(each));
  return [...new Set(homes as string[])];
}

/** Logins of container tools, the bus of the user, and what systemd, Docker and Kubernetes hand over in files. */
function runtimeFolders(env: NodeJS.ProcessEnv): string[] {
  const named = [env['XDG_RUNTIME_DIR'], env['CREDENTIALS_DIRECTORY']];
  const known = [...named, `/run/user/${process.getuid?.()}`, '/run/secrets', '/var/run/secrets'];
  const isOwn = (path: string) => !isOfSystem(path) || (path !== '/run' && isWithin(path, '/run'));
  return realOf(known.filter((each) => each !== undefined && isAbsolute(each)) as string[]).filter(isOwn);
}

function homeByName(): string | undefined {
  try {
    return userInfo().homedir;
  } catch {
    // A container may run as a user that no file names.
    return undefined;
  }
}

function closedOfHome(home: string): string[] {
  const [real] = realOf([home]);
  if (real === undefined) return [];
  if (!isOfSystem(real)) return [real];
  const hidden = entriesOf(real).filter((name) => name.startsWith('.'));
  return realOf(hidden.map((name) => join(real, name))).filter((path) => !isOfSystem(path));
}

/** Programs and settings of the machine lie there: a user may be at home in one (`HOME=/` of containers). */
const isOfSystem = (path: string): boolean =>
  SHARED.includes(path) || SYSTEM.some((each) => isWithin(path, each));
const SHARED = ['/', '/home', '/opt', '/srv', '/mnt', '/media', '/var', '/var/lib', '/var/cache', '/snap'];
const SYSTEM = [
  ...['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/usr', '/etc', '/boot'],
  ...['/dev', '/proc', '/sys', '/run', '/nix', '/gnu'],
];

/** One that holds more than temporary files is not closed. */
const ownTemporary = (): string[] => (isAbsolute(tmpdir()) && !isOfSystem(tmpdir()) ? [tmpdir()] : []);

/** Where the folders among them really are. */
const realOf = (paths: readonly string[]): string[] => [
  ...new Set(
    paths.flatMap((path) => {
      try {
        return [realpathSync(path)];
      } catch {
        return [];
      }
    }),
  ),
];

function entriesOf(folder: string): string[] {
  try {
    return statSync(folder).isDirectory() ? readdirSync(folder) : [];
  } catch {
    return [];
  }
}
