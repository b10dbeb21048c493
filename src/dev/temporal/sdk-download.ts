import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cacheFolder } from '../cache-folder.js';
import { isExecutable } from '../find-on-path.js';
import type { NotObtained, StackOptions } from '../first-that-works.js';
import { packageRoot } from '../package-root.js';
import { unreachable } from '../reachable.js';
import { runCommand } from '../run-command.js';
import { runDevServer } from './run-dev-server.js';
import type { TemporalCliWay } from './temporal-server.js';

/** The Temporal CLI that the SDK downloads. */
export const sdkDownload: TemporalCliWay = async (options) => {
  const path = await downloadedBySdk('temporal', options);
  if (typeof path !== 'string') return path;
  return {
    what: `Temporal CLI downloaded by the SDK ${SDK_VERSION}`,
    executable: path,
    start: () => runDevServer(path, options),
  };
};

/**
 * The executable that the SDK downloads for itself, kept in the cache.
 *
 * The SDK downloads only on the way to starting a server, with flags of its own; so it starts one in a child
 * process, which can be killed when the download hangs, and ours runs what that left in the cache.
 */
export async function downloadedBySdk(
  executable: 'temporal' | 'temporal-test-server',
  { env, say, signal }: StackOptions,
): Promise<string | NotObtained> {
  const folder = join(cacheFolder(env), 'temporal-sdk');
  const path = join(folder, `${executable}-sdk-typescript-${SDK_VERSION}`);
  if (await isExecutable(path)) return path;
  if (await unreachable(DOWNLOAD_HOST, env, signal)) return { because: 'SDK download refused' };

  say(`${executable}: downloading it through the SDK, once`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const create = executable === 'temporal' ? 'createLocal' : 'createTimeSkipping';
  const script = `
    import { TestWorkflowEnvironment } from '@temporalio/testing';
    const executable = { type: 'cached-download', downloadDir: process.argv[1] };
    const environment = await TestWorkflowEnvironment.${create}({ server: { executable } });
    await environment.teardown();`;
  const result = await runCommand(process.execPath, ['--input-type=module', '--eval', script, folder], {
    env,
    signal,
    cwd: packageRoot,
    timeoutMs: DOWNLOAD_MS,
  });
  if (await isExecutable(path)) return path;
  return { because: `SDK download failed${result.ok ? '' : `: ${result.because}`}` };
}

const DOWNLOAD_HOST = 'temporal.download';
const DOWNLOAD_MS = 120_000;

const SDK_VERSION = (
  createRequire(import.meta.url)('@temporalio/testing/package.json') as { version: string }
).version;
