import { once } from 'node:events';
import { mkdir, readdir, utimes } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { commandEnv, readableUri, readDevSettings, workerEnv } from '../../src/dev/dev-settings.js';
import { lockDevFolder } from '../../src/dev/dev-lock.js';
import { makeEphemeralFolder } from '../../src/dev/ephemeral-folder.js';
import { freePort, requireFreePort } from '../../src/dev/free-port.js';
import type { Stack } from '../../src/dev/stack.js';
import { testFolder } from '../support/folders.js';

const stackWith = (mongodbUri: string): Stack => ({
  temporal: { address: 'a:1', namespace: 'n', uiUrl: null },
  mongodbUri,
  env: { TEMPORAL_ADDRESS: 'a:1', TEMPORAL_NAMESPACE: 'n', MONGODB_URI: mongodbUri },
  ended: new Promise(() => undefined),
  close: () => Promise.resolve(),
});

const withPassword = 'mongodb://me:pass@h1,h2/db?replicaSet=r';

test('secrets are in the worker’s environment and never in the output', () => {
  const env = {
    CODEX_TASK_LISTENER_SECRET: 's',
    CODEX_TASK_SEED_KEY: 'k',
    CODEX_TASK_PAYLOAD_KEY: 'k',
    TEMPORAL_ADDRESS: 'a:1',
    TEMPORAL_API_KEY: 't',
    TEMPORAL_TLS_CLIENT_KEY_DATA: 'p',
    TEMPORAL_TLS_CLIENT_CERT_PATH: '/cert',
    CODEX_TASK_QUEUE: 'q',
    OTHER: 'o',
  };
  const stack = stackWith(withPassword);
  expect(commandEnv(env, stack)).toEqual({
    TEMPORAL_ADDRESS: 'a:1',
    TEMPORAL_NAMESPACE: 'n',
    TEMPORAL_TLS_CLIENT_CERT_PATH: '/cert',
    CODEX_TASK_QUEUE: 'q',
  });
  expect(workerEnv(env, stack)).toEqual({ ...env, ...stack.env, CODEX_TASK_DRAIN: 'stop' });
  expect(readableUri(withPassword)).toBe('mongodb://me:***@h1,h2/db?replicaSet=r');
});

test('other variables of Temporal count only with a Temporal address', () => {
  const env = { TEMPORAL_TLS: 'true', TEMPORAL_API_KEY: 't' };
  const stack = stackWith('mongodb://h/db');
  expect(commandEnv(env, stack)).toEqual(stack.env);
  expect(workerEnv(env, stack)).toEqual({ ...stack.env, CODEX_TASK_DRAIN: 'stop' });
});

test('an address given with --ephemeral is kept; otherwise the port is a free one', async () => {
  const cache = await testFolder();
  const free = await readDevSettings({ XDG_CACHE_HOME: cache }, true);
  expect(free.config.listen.port).not.toBe(8787);
  const port = await freePort();
  const given = await readDevSettings(
    { XDG_CACHE_HOME: cache, CODEX_TASK_LISTEN: `127.0.0.1:${port}` },
    true,
  );
  expect(given.config.listen.port).toBe(port);
  expect(given.config.dataDir).not.toBe(free.config.dataDir);
});

test('free ports are free, distinct and can be used at once', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, () => freePort()));
  expect(new Set(ports).size).toBe(20);
  for (const port of ports) await requireFreePort(port, 'advice');
});

test('a port in use is not free', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await expect(requireFreePort(port, 'do this')).rejects.toThrow(`port ${port} is taken: do this`);
});

test('an ephemeral start removes leftovers of killed ones, but nothing still needed', async () => {
  const cache = await testFolder();
  const parent = join(cache, 'codex-task', 'ephemeral');
  const folders = [
    'empty/dev',
    'own-database/dev/ferretdb',
    'own-database/tasks/a',
    'task/dev',
    'task/tasks/a',
    'used/dev',
  ];
  for (const path of folders) await mkdir(join(parent, path), { recursive: true });
  const hourAgo = new Date(Date.now() - 3_600_000);
  for (const name of await readdir(parent)) await utimes(join(parent, name), hourAgo, hourAgo);
  await mkdir(join(parent, 'young'));
  onTestFinished(await lockDevFolder(join(parent, 'used', 'dev')));
  const fresh = await makeEphemeralFolder({ XDG_CACHE_HOME: cache });
  expect((await readdir(parent)).sort()).toEqual([basename(fresh), 'task', 'used', 'young'].sort());
});
