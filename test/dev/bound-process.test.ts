import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startBoundProcess } from '../../src/dev/bound-process.js';
import { runCommand } from '../../src/dev/run-command.js';
import { startServerProcess } from '../../src/dev/server-process.js';
import { testFolder } from '../support/folders.js';
import { leftoversAfter } from '../support/leftovers.js';

const signal = new AbortController().signal;
const env = process.env;
const script = (code: string): string[] => ['-e', code];

async function start(code: string) {
  const folder = await testFolder();
  const options = { name: 'p', command: process.execPath, args: script(code), folder, cwd: folder, env };
  const bound = await startBoundProcess({ ...options, stdio: ['ignore', 'pipe', 'ignore'], stopMs: 300 });
  onTestFinished(bound.stop);
  return { bound, folder };
}

test('stopping signals a process first and returns when it is gone', async () => {
  const { bound, folder } = await start('setInterval(() => {}, 1000)');
  expect(await readdir(folder)).toContain('p.pid');
  await bound.stop();
  expect(await bound.exited).toBe('SIGTERM');
  expect(await readdir(folder)).toEqual([]);
});

test('a process that ignores the signal is killed with its whole group', async () => {
  const { bound, folder } = await start(`
    process.on('SIGTERM', () => {});
    require('node:child_process').spawn('sleep', ['600'], { stdio: 'ignore' }).on('spawn', () => console.log('up'));
    setInterval(() => {}, 1000);`);
  await new Promise((resolve) => bound.child.stdout?.once('data', resolve));
  await bound.stop();
  expect(await bound.exited).toBe('SIGKILL');
  expect(await leftoversAfter([folder], 5_000)).toEqual([]);
});

test('a missing command is an error that names it', async () => {
  const folder = await testFolder();
  const server = await startServerProcess({ name: 'p', command: '/no/such', args: [], folder, env }).catch(
    (error: unknown) => error,
  );
  // With setpriv in front it is setpriv that fails, a moment later.
  const failure =
    server instanceof Error ? server : await (server as { ended: Promise<string> }).ended.then(Error);
  expect(failure.message).toContain('/no/such');
});

test('a server that ends before it answers is an error with its last lines', async () => {
  const folder = await testFolder();
  const args = script("console.error('the disk is full'); process.exit(7)");
  const server = await startServerProcess({ name: 'p', command: process.execPath, args, folder, env });
  await expect(server.until(() => Promise.resolve(false), signal)).rejects.toMatchObject({
    code: 'Unavailable',
    message: `p does not start: exit code 7: the disk is full (${join(folder, 'p.log')})`,
  });
});

test('an abort ends the wait for a server', async () => {
  const folder = await testFolder();
  const args = script('setInterval(() => {}, 1000)');
  const server = await startServerProcess({ name: 'p', command: process.execPath, args, folder, env });
  onTestFinished(server.stop);
  const controller = new AbortController();
  const waiting = server.until(() => Promise.reject(new Error('not yet')), controller.signal);
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});

test('a server gets none of the caller’s secrets', async () => {
  const folder = await testFolder();
  const args = script("require('node:fs').writeFileSync('env', JSON.stringify(process.env))");
  const secrets = { ...env, OPENAI_API_KEY: 'key', CODEX_TASK_LISTENER_SECRET: 'secret' };
  const server = await startServerProcess({
    name: 'p',
    command: process.execPath,
    args,
    folder,
    env: secrets,
  });
  await server.ended;
  expect(await readFile(join(folder, 'env'), 'utf8')).not.toMatch(/key|secret/);
});

test('a command that takes too long is killed with its children, and the error says so', async () => {
  const folder = await testFolder();
  const settings = { env, signal, timeoutMs: 200, cwd: folder };
  const result = await runCommand('sh', ['-c', 'sleep 600 & sleep 600'], settings);
  expect(result).toEqual({ ok: false, because: 'no end after 0 s' });
  expect(await leftoversAfter([folder], 5_000)).toEqual([]);
});

test('an abort ends a command', async () => {
  const controller = new AbortController();
  const running = runCommand('sleep', ['600'], { env, signal: controller.signal, timeoutMs: 60_000 });
  controller.abort(new Error('enough'));
  await expect(running).rejects.toThrow('enough');
});

test('the last line of a failed command is the reason of the error', async () => {
  const settings = { env, signal, timeoutMs: 5_000 };
  expect(await runCommand('sh', ['-c', 'echo a; echo b >&2; echo c >&2; exit 1'], settings)).toEqual({
    ok: false,
    because: 'c',
  });
  expect(await runCommand('/no/such', [], settings)).toMatchObject({ ok: false });
});
