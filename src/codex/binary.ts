import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { reasonOf, TaskError } from '../errors.js';

/** The codex whose wire this project knows, and of which comments here tell what was measured. */
export const CODEX_VERSION = '0.171.0';

/** An executable of codex itself, never npm's wrapper script: the pid of a launch must be codex's own. */
export interface CodexBinary {
  path: string;
  version: string;
}

/**
 * The codex of the pinned npm package, or the one `CODEX_TASK_CODEX_BIN` names.
 * @throws TaskError `HostUnfit` when this is not Linux, there is none for this processor, it does not run, or the packaged one has
 * another version than this project knows
 */
export async function findCodex(
  env: NodeJS.ProcessEnv = {},
  platform: NodeJS.Platform = process.platform,
): Promise<CodexBinary> {
  if (platform !== 'linux')
    throw new TaskError('HostUnfit', `${ONLY_LINUX}, this is ${platform}: ${ELSEWHERE}`);
  const named = env['CODEX_TASK_CODEX_BIN'];
  if (named) return { path: named, version: await checkCodexVersion(named) };
  const path = await packagedBinary();
  const version = await checkCodexVersion(path);
  if (version === CODEX_VERSION) return { path, version };
  throw new TaskError('HostUnfit', `codex at ${path} is ${version}, expected ${CODEX_VERSION}; run npm ci`);
}

/**
 * The version that the binary itself tells.
 * @throws TaskError `HostUnfit` when it does not run or is no codex
 */
export async function checkCodexVersion(path: string): Promise<string> {
  const { stdout } = await run(path, ['--version'], { timeout: 10_000 }).catch((error: unknown) => {
    throw new TaskError('HostUnfit', `codex at ${path} does not run: ${firstLine(error)}; ${ADVICE}`, {
      cause: error,
    });
  });
  // "codex-cli 1.2.3"
  const version = /^codex\S*\s+(\S+)/.exec(stdout)?.[1];
  if (version) return version;
  throw new TaskError(
    'HostUnfit',
    `${path} is no codex (--version says ${JSON.stringify(stdout.slice(0, 80))}); ${ADVICE}`,
  );
}

// Processes are told apart, and trees walked, by what only Linux has in /proc.
const ONLY_LINUX = 'Codex runs tasks on Linux only';
const ELSEWHERE =
  'run the worker in a container or on another machine; clients and all other commands work here';
const ADVICE = 'set CODEX_TASK_CODEX_BIN to one that does, or unset it for the packaged one';
const firstLine = (error: unknown) => reasonOf(error).trim().split('\n')[0];

const run = promisify(execFile);

async function packagedBinary(): Promise<string> {
  const platformPackage = `@openai/codex-${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve('@openai/codex/package.json');
    const root = dirname(createRequire(wrapper).resolve(`${platformPackage}/package.json`));
    // vendor/<target triple>/bin/codex, one triple a package
    const [triple] = await readdir(join(root, 'vendor'));
    if (triple) return join(root, 'vendor', triple, 'bin', 'codex');
  } catch (error) {
    throw notFound(platformPackage, error);
  }
  throw notFound(platformPackage);
}

const notFound = (platformPackage: string, cause?: unknown) =>
  new TaskError('HostUnfit', `codex ${CODEX_VERSION} not found (${platformPackage}); run npm ci`, { cause });
