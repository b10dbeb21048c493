import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { buildPackage } from '../support/built-package.js';
import { makeFolder, testFolder } from '../support/folders.js';
import { findLeftovers } from '../support/leftovers.js';
import { openTestDatabase, type TestDatabase } from '../support/mongo.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import type { WorkerLine } from '../../src/worker/worker-line.js';

let built: { path: string; remove: () => Promise<void> };
let temporal: TestTemporal;
let database: TestDatabase;

beforeAll(async () => {
  built = await makeFolder();
  [temporal, database] = await Promise.all([connectLocal(), openTestDatabase(), buildPackage(built.path)]);
});
afterAll(async () => {
  await temporal.close();
  await database.close();
  await built.remove();
});

/** A caller's program; its settings take the place of variables that name nothing. */
async function startProgram(settings: object) {
  const { address, namespace = 'default' } = temporal.environment;
  const program = fileURLToPath(new URL('callers/run.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, built.path, JSON.stringify(settings)], {
    env: {
      ...{ PATH: process.env['PATH'], HOME: await testFolder(), CODEX_TASK_MONGO_PREFIX: 'not a prefix!' },
      ...{ TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace, CODEX_TASK_LOG: 'warn' },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit') as Promise<[number | null]>;
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  });
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log += text.toString()));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value as string | undefined;
  return { line, exited, log: () => log, terminate: () => void child.kill('SIGTERM') };
}

it('a worker as a function is ready with its settings, and resolves when its signal has drained it', async () => {
  const dataDir = join(await testFolder(), 'data');
  const listen = { host: '127.0.0.1', port: 0 };
  const program = await startProgram({ dataDir, listen, mongodbUri: database.uri, mongoPrefix: 'mine' });
  const first = await program.line();
  if (first === undefined) throw new Error(`the program ended: ${program.log()}`);
  const { listenerUrl } = JSON.parse(first) as WorkerLine;
  expect((await fetch(`${listenerUrl}/ready`)).status).toBe(200);
  program.terminate();
  expect(await program.line()).toBe('drained');
  expect(await program.exited).toEqual([0, null]);
  expect(await findLeftovers([dataDir])).toEqual([]);
});

it('a worker as a function that cannot start rejects with the cause, and leaves nothing open', async () => {
  const dataDir = join(await testFolder(), 'data');
  const mongodbUri = 'mongodb://127.0.0.1:1/none?serverSelectionTimeoutMS=500';
  const program = await startProgram({ dataDir, mongodbUri, mongoPrefix: 'mine' });
  expect(await program.line()).toBeUndefined();
  expect(await program.exited).toEqual([1, null]);
  expect(program.log()).toMatch(/TaskError.*MongoDB/);
});
