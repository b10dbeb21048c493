import { join } from 'node:path';
import { homeFolder } from '../../process/home-folder.js';
import type { TaskSpec } from '../../contract/task-spec.js';

/** Expands each `~` of a task's sandbox to the home of this host's user, since commands have a home of their own. */
export function sandboxHere(
  { grants, ...rest }: TaskSpec['sandbox'],
  env: NodeJS.ProcessEnv,
): TaskSpec['sandbox'] {
  const home = homeFolder(env);
  const here = (path: string) => (path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path);
  return { ...rest, grants: grants.map(({ path, access }) => ({ path: withoutEnd(here(path)), access })) };
}

const withoutEnd = (path: string): string => path.replace(/\/+$/, '') || '/';
