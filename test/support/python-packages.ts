import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../../src/dev/cache-folder.js';
import { runCommand } from '../../src/dev/run-command.js';
import { timeLimit } from '../../src/async/time-limit.js';

const INSTALL_MS = 300_000;

/**
 * The folder with a Python package and what it needs, made by pip once for each Python there is, in the cache folder.
 * It fails where there is no `python3`, no pip or no such package, and says so: no test goes without.
 */
export async function pythonPackage(name: string, version: string): Promise<string> {
  const env = process.env;
  const signal = timeLimit(INSTALL_MS);
  const asked = await runCommand('python3', ['-c', 'import sys; print(sys.implementation.cache_tag)'], {
    env,
    signal,
    timeoutMs: 30_000,
  });
  if (!asked.ok) throw new Error(`this test needs python3 with pip, which does not run: ${asked.because}`);
  const tag = asked.stdout.trim();
  const kept = join(cacheFolder(env), `${name}-${version}-${tag}-${process.platform}-${process.arch}`);
  if (await stat(kept).catch(() => null)) return kept;
  await mkdir(dirname(kept), { recursive: true, mode: 0o700 });
  // Two runs may install at once: each into a folder of its own, and the last step is a rename.
  const folder = await mkdtemp(`${kept}-fetch-`);
  try {
    const args = ['-m', 'pip', 'install', '--quiet', '--target', folder, `${name}==${version}`];
    const result = await runCommand('python3', args, { env, signal, timeoutMs: INSTALL_MS });
    if (!result.ok) throw new Error(`this test needs ${name} ${version} from pip: ${result.because}`);
    await rename(folder, kept).catch(async (error: unknown) => {
      if (!(await stat(kept).catch(() => null))) throw error;
    });
    return kept;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
