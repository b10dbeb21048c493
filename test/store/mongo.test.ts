import { createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { seedsOf, snapshotsOf } from '../../src/store/collections.js';
import { ensureIndexes } from '../../src/store/indexes.js';
import { databaseNow } from '../../src/store/mongo.js';
import { useStore } from './support.js';
import { openStore } from '../../src/store/open-store.js';

const use = useStore();
let silent: Server | undefined;

afterEach(() => {
  silent?.close();
  silent = undefined;
});

async function failureOf(uri: string): Promise<TaskError> {
  const failure: unknown = await openStore({ uri, prefix: 'test', connectTimeoutMs: 300 }).then(
    (store) => store.close(),
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(TaskError);
  return failure as TaskError;
}

test('uses the database of the URI, or codex_task', async () => {
  const named = use.uri.replace(/^(mongodb:\/\/[^/]+)(\/[^?]*)?/, '$1/some_other');
  const unnamed = use.uri.replace(/^(mongodb:\/\/[^/]+)(\/[^?]*)?/, '$1/');
  for (const [uri, expected] of [
    [named, 'some_other'],
    [unnamed, 'codex_task'],
    [unnamed.replace(/\/(\?|$)/, '$1'), 'codex_task'],
  ] as const) {
    const store = await openStore({ uri, prefix: 'test' });
    expect(store.db.databaseName).toBe(expected);
    await store.close();
  }
});

test('reads the time of the database as a date', async () => {
  const first = await databaseNow(use.store);
  const second = await databaseNow(use.store);
  expect(second.getTime()).toBeGreaterThanOrEqual(first.getTime());
});

test('names an unreachable server in one line by its host, without the login', async () => {
  const failure = await failureOf('mongodb://someone:pass-word@127.0.0.1:1/tasks');
  expect(failure.code).toBe('Unavailable');
  expect(failure.message).toMatch(
    /^MongoDB not reachable at 127\.0\.0\.1:1: start it or set MONGODB_URI( \(.*\))?$/,
  );
});

test('names an unreachable socket by its path', async () => {
  const failure = await failureOf('mongodb://%2Fnowhere%2Fmongodb.sock/tasks');
  expect(failure.message).toContain('MongoDB not reachable at /nowhere/mongodb.sock: start it');
});

test('gives up after the timeout on a server that accepts and stays silent', async () => {
  const server = createServer();
  silent = server;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const failure = await failureOf(`mongodb://127.0.0.1:${port}/tasks`);
  expect(failure.code).toBe('Unavailable');
  expect(failure.message).toContain(`127.0.0.1:${port}`);
});

test.each([
  'mongodb://someone:pass-word@127.0.0.1:1/tasks',
  'mongodb://someone:pass-word@127.0.0.1:1,[::1]:1/tasks?replicaSet=pass-word',
  'mongodb://someone:pass/-word@127.0.0.1:1/tasks',
  'mongodb://someone:x@pass-word@127.0.0.1:1/tasks',
  'mongodb://someone:x?pass-word=1@127.0.0.1:1/tasks',
  'mongodb://someone:x#pass-word@127.0.0.1:1/tasks',
  'mongodb://someone:x%pass-word@127.0.0.1:1/tasks',
  'mongodb://someone:pass-word@127.0.0.1:1/tasks?pass-word=1',
  'mongodb://someone:pass%2Dword@127.0.0.1:1/tasks?pass-word=1',
  'mongodb://someone:pass-word@127.0.0.1:one/tasks',
  'mongodb://someone:pass-word@',
])('shows no part of the login in any error: %s', async (uri) => {
  const failure = await failureOf(uri);
  const shown = JSON.stringify([failure.message, failure.stack, String(failure.cause)]);
  expect(shown).not.toContain('someone');
  expect(shown).not.toContain('pass-word');
  expect(failure.message).toMatch(/MONGODB_URI/);
});

test('creates indexes repeatedly, named as in the Python package', async () => {
  await ensureIndexes(use.store);
  await ensureIndexes(use.store);
  expect(await snapshotsOf(use.store).indexes()).toContainEqual(
    expect.objectContaining({
      name: 'by_processId_capturedAt_desc',
      key: { processId: 1, capturedAt: -1 },
    }),
  );
  expect(await seedsOf(use.store).indexExists('by_poolKey_lastLeasedAt')).toBe(true);
});
