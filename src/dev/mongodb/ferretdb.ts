import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../cache-folder.js';
import { findOnPath, isExecutable } from '../find-on-path.js';
import type { NotObtained, StackOptions } from '../first-that-works.js';
import { packageRoot } from '../package-root.js';
import { runCommand } from '../run-command.js';
import { startServerProcess } from '../server-process.js';
import { shortPathTo } from '../short-path.js';
import type { MongoServer, MongoWay } from './mongo-server.js';
import { socketUri, untilAnswering } from './unix-socket.js';

/** FerretDB with SQLite, built with Go once. */
export const ferretdb: MongoWay = async (options) => {
  const path = await embeddedMongo(options);
  if (typeof path !== 'string') return path;
  return { what: 'embedded FerretDB 1.24.2 with SQLite', start: () => run(path, options) };
};

/** Path of the embedded server, built from `dev/embedded-mongo` if this is its first use, or why it cannot be. */
export async function embeddedMongo({ env, say, signal }: StackOptions): Promise<string | NotObtained> {
  const folder = join(cacheFolder(env), 'embedded-mongo');
  const executable = join(folder, await keyOfSources());
  if (await isExecutable(executable)) return executable;
  if ((await findOnPath('go', env)) === null) return { because: 'no go on PATH to build FerretDB' };
  say('mongodb: building the embedded MongoDB server, about 1 min, once');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Two processes may build at once: each to a name of its own, and the last step is a rename.
  const unfinished = `${executable}.${randomUUID()}`;
  try {
    const refusal = await build(unfinished, env, signal);
    if (refusal) return refusal;
    await rename(unfinished, executable);
    return executable;
  } finally {
    await rm(unfinished, { force: true });
  }
}

const SOURCES = join(packageRoot, 'dev', 'embedded-mongo');
const SOCKET = 'mongodb.sock';
/** Without what FerretDB needs for PostgreSQL it builds a fifth faster. */
const BUILD_FLAGS = ['-tags=ferretdb_no_postgresql', '-ldflags=-s -w'];
const BUILD_MS = 600_000;

async function build(
  executable: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<NotObtained | null> {
  const result = await runCommand('go', ['build', ...BUILD_FLAGS, '-o', executable, '.'], {
    env: {
      ...env,
      CGO_ENABLED: '0',
      GOWORK: 'off',
      GOFLAGS: `${env['GOFLAGS'] ?? ''} -mod=readonly -buildvcs=false`.trim(),
    },
    signal,
    cwd: SOURCES,
    timeoutMs: BUILD_MS,
  });
  return result.ok ? null : { because: `FerretDB cannot be built: ${result.because}` };
}

async function keyOfSources(): Promise<string> {
  const hash = createHash('sha256').update(BUILD_FLAGS.join(' '));
  for (const name of ['go.mod', 'go.sum', 'main.go', 'one_at_a_time.go']) {
    hash.update(await readFile(join(SOURCES, name)));
  }
  return hash.digest('hex').slice(0, 16);
}

async function run(executable: string, options: StackOptions): Promise<MongoServer> {
  const folder = join(options.folder, 'ferretdb');
  const short = await shortPathTo(folder, SOCKET);
  const server = await startServerProcess({
    name: 'ferretdb',
    command: executable,
    args: options.ephemeral ? ['-no-sync', folder] : [folder],
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
