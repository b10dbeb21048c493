import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Where downloads and builds of the embedded stack are kept: outside the package, so that reinstalling keeps them. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CACHE_HOME'];
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'codex-task');
}
