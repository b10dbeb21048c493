import { homedir } from 'node:os';

/**
 * The home of this process's user: HOME, else what the system says of the user. `/` for a user that no file names, as
 * a container may run with (OpenShift, `docker run --user`).
 */
export function homeFolder(env: NodeJS.ProcessEnv): string {
  if (env['HOME']) return env['HOME'];
  try {
    return homedir();
  } catch {
    return '/';
  }
}
