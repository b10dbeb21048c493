import { findOnPath } from '../find-on-path.js';
import { runCommand } from '../run-command.js';
import { runDevServer } from './run-dev-server.js';
import type { TemporalCliWay } from './temporal-server.js';

/** The Temporal CLI on PATH. */
export const fromPath: TemporalCliWay = async (options) => {
  const path = await findOnPath('temporal', options.env);
  if (path === null) return { because: 'no temporal on PATH' };
  const { env, signal } = options;
  const version = await runCommand(path, ['--version'], { env, signal, timeoutMs: VERSION_MS });
  if (!version.ok) return { because: `${path} does not run: ${version.because}` };
  return {
    what: `${path}, ${version.stdout.trim()}`,
    executable: path,
    start: () => runDevServer(path, options),
  };
};

const VERSION_MS = 10_000;
