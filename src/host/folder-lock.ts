import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';

/**
 * Takes the one lock of this name on a folder, as an abstract unix socket: the kernel takes it back whatever
 * way its owner ends. Null when another process has it.
 */
export async function lockFolder(path: string, name: string): Promise<Server | null> {
  const digest = createHash('sha256')
    .update(await realpath(path))
    .digest('hex');
  const lock = createServer((socket) => socket.destroy());
  const taken = await new Promise<boolean>((resolve, reject) => {
    lock.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    lock.listen(`\0codex-task-${name}-${digest}`, () => resolve(true));
  });
  lock.unref();
  return taken ? lock : null;
}
