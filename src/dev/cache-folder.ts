import { isAbsolute, join } from 'node:path';
import { homeFolder } from '../process/home-folder.js';

/** Where downloads and builds of the embedded stack are kept: outside the package, so that reinstalling keeps them. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CACHE_HOME'];
  return join(base && isAbsolute(base) ? base : join(homeFolder(env), '.cache'), 'codex-task');
}
