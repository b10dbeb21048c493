import { createHash } from 'node:crypto';
import { readlink, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Where codex keeps the real socket of `--listen unix://PATH` (PATH is a symlink), and `<socket>.lock`. */
const DAEMON_SOCKET = /^\/tmp\/codex-daemon-\d+\/[^/]+$/;

/** The socket codex made for this path; undefined when there is none of codex's. */
export async function daemonSocketOf(socketPath: string): Promise<string | undefined> {
  const target = await readlink(socketPath).catch(() => undefined);
  return target !== undefined && DAEMON_SOCKET.test(target) ? target : undefined;
}

/** Removes what a killed codex left of its socket: the link, the socket and its lock file. It must be dead. */
export async function removeSocketLeftovers(socketPath: string): Promise<void> {
  const folder = await realpath(dirname(socketPath)).catch(() => dirname(socketPath));
  // A codex that died while it started may have left the lock alone.
  const name = createHash('sha256')
    .update(join(folder, basename(socketPath)))
    .digest('hex');
  const sockets = [await daemonSocketOf(socketPath), `/tmp/codex-daemon-${process.geteuid?.()}/${name}`];
  for (const socket of sockets) {
    if (socket === undefined) continue;
    await rm(socket, { force: true });
    await rm(`${socket}.lock`, { force: true });
  }
  await rm(socketPath, { force: true });
}
