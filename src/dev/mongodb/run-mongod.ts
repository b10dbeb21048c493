import { join } from 'node:path';
import type { NotObtained, StackOptions } from '../first-that-works.js';
import { runCommand } from '../run-command.js';
import { startServerProcess } from '../server-process.js';
import { shortPathTo } from '../short-path.js';
import type { MongoServer } from './mongo-server.js';
import { socketUri, untilAnswering } from './unix-socket.js';

/** The version of a `mongod`, or why it cannot be used. */
export async function versionOfMongod(path: string, options: StackOptions): Promise<string | NotObtained> {
  const { env, signal } = options;
  const result = await runCommand(path, ['--version'], { env, signal, timeoutMs: VERSION_MS });
  if (!result.ok) return { because: `${path} does not run: ${result.because}` };
  const match = /db version v((\d+)\.\d+\.\d+)/.exec(result.stdout);
  if (!match?.[1]) return { because: `${path} tells no version` };
  return Number(match[2]) >= OLDEST_MAJOR ? match[1] : { because: `${path} is too old: ${match[1]}` };
}

/**
 * Runs `mongod` on a unix socket in the folder, where sandboxed commands cannot reach it.
 * @throws TaskError `Unavailable` when it does not come up
 */
export async function runMongod(executable: string, options: StackOptions): Promise<MongoServer> {
  const folder = join(options.folder, 'mongod');
  const short = await shortPathTo(folder, SOCKET);
  const server = await startServerProcess({
    name: 'mongod',
    command: executable,
    args: [
      ...['--dbpath', folder, '--quiet', '--wiredTigerCacheSizeGB', '0.25'],
      // A path as address keeps it off TCP; the socket clients use is the one below the prefix.
      ...['--bind_ip', join(short.path, 'bind.sock'), '--unixSocketPrefix', short.path, '--port', '27017'],
    ],
    folder,
    env: options.env,
  });
  const close = async () => {
    await server.stop();
    await short.remove();
  };
  const socket = join(short.path, SOCKET);
  try {
    await untilAnswering(server, socket, options.signal);
  } catch (error) {
    await close();
    throw error;
  }
  return { uri: socketUri(socket), ended: server.ended, close };
}

const SOCKET = 'mongodb-27017.sock';
const OLDEST_MAJOR = 5;
const VERSION_MS = 10_000;
