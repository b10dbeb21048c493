import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pythonPackage } from '../../support/python-packages.js';

/** The Python package on one database. Every call is answered by the package's own code. */
export interface PythonPeer {
  call<T>(op: string, args: Record<string, unknown>): Promise<T>;
  close(): Promise<void>;
}

/** Starts it, installed into the cache folder at its first use. */
export async function startPythonPeer(uri: string): Promise<PythonPeer> {
  const packages = await pythonPackage('optio-codex', '0.4.8');
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
