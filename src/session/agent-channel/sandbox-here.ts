import { join } from 'node:path';
import { homeFolder } from '../../process/home-folder.js';
import type { TaskSpec } from '../../contract/task-spec.js';

/** A task's sandbox with each `~` as the home of this host's user, since that of its commands is a folder of the task's own. */
export function sandboxHere(
  { grants, ...rest }: TaskSpec['sandbox'],
  env: NodeJS.ProcessEnv,
): TaskSpec['sandbox'] {
  const home = homeFolder(env);
  const here = (path: string) => (path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path);
  return { ...rest, grants: grants.map(({ path, access }) => ({ path: withoutEnd(here(path)), access })) };
}

const withoutEnd = (path: string): string => path.replace(/\/+$/, '') || '/';
