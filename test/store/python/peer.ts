import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../../../src/dev/cache-folder.js';
import { runCommand } from '../../../src/dev/run-command.js';
import { timeLimit } from '../../../src/time-limit.js';

const PACKAGE = 'optio-codex';
const VERSION = '0.4.8';
const INSTALL_MS = 300_000;

/** The Python package on one database. Every call is answered by the package's own code. */
export interface PythonPeer {
  call<T>(op: string, args: Record<string, unknown>): Promise<T>;
  close(): Promise<void>;
}

/** Starts it, installed into the cache folder at its first use. */
export async function startPythonPeer(uri: string): Promise<PythonPeer> {
  const packages = await installed();
  const script = fileURLToPath(new URL('peer.py', import.meta.url));
  const child = spawn('python3', ['-B', script, uri], {
    env: { ...process.env, PYTHONPATH: packages },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const errors: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(String(chunk)));
  const call = caller(child, errors);
  return {
    call,
    close: async () => {
      child.stdin.end();
      await exited;
    },
  };
}

function caller(child: ChildProcessWithoutNullStreams, errors: string[]): PythonPeer['call'] {
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  let before: Promise<unknown> = Promise.resolve();
  const ask = async <T>(op: string, args: Record<string, unknown>): Promise<T> => {
    child.stdin.write(`${JSON.stringify({ op, ...args })}\n`);
    const line = await lines.next();
    if (line.done) throw new Error(`the Python package ended: ${errors.join('')}`);
    const answer = JSON.parse(line.value) as { ok: T } | { error: string };
    if ('error' in answer) throw new Error(answer.error);
    return answer.ok;
  };
  return <T>(op: string, args: Record<string, unknown>) => {
    const asked = before.then(() => ask<T>(op, args));
    before = asked.catch(() => undefined);
    return asked;
  };
}

/** The folder with the package and what it needs, made by pip once for each Python there is. */
async function installed(): Promise<string> {
  const env = process.env;
  const signal = timeLimit(INSTALL_MS);
  const asked = await runCommand('python3', ['-c', 'import sys; print(sys.implementation.cache_tag)'], {
    env,
    signal,
    timeoutMs: 30_000,
  });
  if (!asked.ok) throw new Error(`python3 does not run: ${asked.because}`);
  const tag = asked.stdout.trim();
  const kept = join(cacheFolder(env), `${PACKAGE}-${VERSION}-${tag}-${process.platform}-${process.arch}`);
  if (await stat(kept).catch(() => null)) return kept;
  await mkdir(dirname(kept), { recursive: true, mode: 0o700 });
  // Two runs may install at once: each into a folder of its own, and the last step is a rename.
  const folder = await mkdtemp(`${kept}-fetch-`);
  try {
    const args = ['-m', 'pip', 'install', '--quiet', '--target', folder, `${PACKAGE}==${VERSION}`];
    const result = await runCommand('python3', args, { env, signal, timeoutMs: INSTALL_MS });
    if (!result.ok) throw new Error(`pip gives no ${PACKAGE} ${VERSION}: ${result.because}`);
    await rename(folder, kept).catch(async (error: unknown) => {
      if (!(await stat(kept).catch(() => null))) throw error;
    });
    return kept;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
