import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../cache-folder.js';
import type { NotObtained, StackOptions } from '../first-that-works.js';
import { packageRoot } from '../package-root.js';
import { unreachable } from '../reachable.js';
import { runCommand } from '../run-command.js';
import type { MongoWay } from './mongo-server.js';
import { runMongod, versionOfMongod } from './run-mongod.js';

/** The `mongod` that mongodb-memory-server downloads, kept in the cache. */
export const memoryServer: MongoWay = async (options) => {
  const path = await download(options);
  if (typeof path !== 'string') return path;
  const version = await versionOfMongod(path, options);
  if (typeof version !== 'string') return version;
  return { what: `mongod ${version} of mongodb-memory-server`, start: () => runMongod(path, options) };
};

const DOWNLOAD_MS = 300_000;

async function download({ env, say, signal }: StackOptions): Promise<string | NotObtained> {
  const downloadDir = join(cacheFolder(env), 'mongodb-memory-server');
  const { DryMongoBinary } = await import('mongodb-memory-server-core');
  const kept = await DryMongoBinary.locateBinary({
    ...DryMongoBinary.getEnsuredOptions(),
    downloadDir,
  }).catch(() => undefined);
  if (kept !== undefined) return kept;
  const mirror = env['MONGOMS_DOWNLOAD_MIRROR'] ?? 'https://fastdl.mongodb.org';
  const host = URL.canParse(mirror) ? new URL(mirror).hostname : mirror;
  if (await unreachable(host, env, signal)) return { because: 'mongodb-memory-server download refused' };

  say('mongodb: downloading mongod through mongodb-memory-server, once');
  await mkdir(downloadDir, { recursive: true, mode: 0o700 });
  // In a child process, which can be killed when the download hangs.
  const script = `
    import { MongoBinary } from 'mongodb-memory-server-core';
    const path = await MongoBinary.getPath({ downloadDir: process.argv[1] });
    process.stdout.write('\\n' + path);`;
  const result = await runCommand(process.execPath, ['--input-type=module', '--eval', script, downloadDir], {
    env: { MONGOMS_MAX_RETRIES: '1', ...env },
    signal,
    cwd: packageRoot,
    timeoutMs: DOWNLOAD_MS,
  });
  if (!result.ok) return { because: `mongodb-memory-server download failed: ${result.because}` };
  return result.stdout.split('\n').at(-1) ?? '';
}
