import { once } from 'node:events';
import { connect } from 'node:net';
import { reasonOf } from '../errors.js';
import { timeLimit } from '../async/time-limit.js';

const CONNECT_MS = 3_000;

/**
 * Looks whether a download from `host` can work at all, so that a machine without it is not kept waiting by a
 * downloader's own long timeouts. Behind a proxy only the downloader can tell: then the answer is yes.
 * @returns null, or why not
 */
export async function unreachable(
  host: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string | null> {
  if (PROXY_VARIABLES.some((name) => env[name])) return null;
  const stop = timeLimit(CONNECT_MS, signal);
  const socket = connect({ host, port: 443 });
  try {
    await once(socket, 'connect', { signal: stop });
    return null;
  } catch (error) {
    signal.throwIfAborted();
    return stop.aborted ? `${host} does not answer` : reasonOf(error);
  } finally {
    socket.on('error', () => undefined).destroy();
  }
}

const PROXY_VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];
