import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CODEX_VERSION } from '../../src/codex/binary.js';
import { freePort } from '../../src/dev/free-port.js';
import { packageRoot } from '../../src/dev/package-root.js';
import { runCli, spawnCli } from '../cli/run-cli.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder, testFolder } from '../support/folders.js';
import { findLeftovers } from '../support/leftovers.js';
import { openTestDatabase, type TestDatabase } from '../support/mongo.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import { openStore } from '../../src/store/open-store.js';

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

/** What a worker on `dataDir` needs when nothing is wrong. */
async function goodSettings(dataDir: string): Promise<NodeJS.ProcessEnv> {
  const { address, namespace = 'default' } = temporal.environment;
  return {
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    MONGODB_URI: database.uri,
    CODEX_TASK_DATA_DIR: dataDir,
    CODEX_TASK_LISTEN: `127.0.0.1:${await freePort()}`,
    CODEX_TASK_LOG: 'warn',
  };
}

/** Starts a worker that must fail, and gives the one line it ends with. */
async function failureOf(
  settings: NodeJS.ProcessEnv,
  folder = built.path,
): Promise<{ code: number | null; line: string }> {
  const { code, stdout, stderr } = await runCli(folder, ['worker'], { env: settings });
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^codex-task: [^\n]+\n$/);
  return { code, line: stderr.slice('codex-task: '.length, -1) };
}

/** A worker that polls, ended with the test. */
async function startWorker(settings: NodeJS.ProcessEnv) {
  const child = spawnCli(built.path, ['worker', '--json'], settings);
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  });
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log += text.toString()));
  const first = once(createInterface(child.stdout), 'line') as Promise<[string]>;
  const [text] = await Promise.race([
    first,
    exited.then(() => Promise.reject(new Error(`the worker ended: ${log}`))),
  ]);
  const line = JSON.parse(text) as { workerPid: number; hostId: string; listenerUrl: string };
  return {
    line,
    child,
    log: () => log,
    async stop(): Promise<unknown> {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

async function hosts(): Promise<string[]> {
  const store = await openStore({ uri: database.uri, prefix: 'optio' });
  try {
    const documents = store.db.collection<{ _id: string; expiresAt: Date }>('optio_codex_hosts').find();
    return (await documents.toArray())
      .filter(({ expiresAt }) => expiresAt > new Date())
      .map(({ _id }) => _id);
  } finally {
    await store.close();
  }
}

/** Where nobody can make a folder, root neither: the kernel's own file system. */
const UNWRITABLE = '/sys/codex-task';

describe('a worker that cannot start', () => {
  it('reports a package without codex, and what to do', async () => {
    const folder = await testFolder();
    await buildWithoutCodex(folder);
    const dataDir = join(folder, 'data');
    const { code, line } = await failureOf(await goodSettings(dataDir), folder);
    const version = CODEX_VERSION.replaceAll('.', '\\.');
    expect(line).toMatch(new RegExp(`^codex ${version} not found \\(@openai/codex-\\S+\\); run npm ci$`));
    expect(code).toBe(1);
    await expect(stat(dataDir)).rejects.toThrow('ENOENT');
  });

  it('reports a codex that does not run, or is none', async () => {
    const folder = await testFolder();
    const settings = await goodSettings(join(folder, 'data'));
    const missing = join(folder, 'codex');
    const broken = join(folder, 'broken');
    await writeFile(broken, '#!/bin/sh\necho first >&2; echo second >&2; exit 3\n');
    const other = join(folder, 'other');
    await writeFile(other, '#!/bin/sh\necho something 1.2\n');
    for (const path of [broken, other]) await chmod(path, 0o755);
    const failures = await Promise.all(
      [missing, broken, other].map((bin) => failureOf({ ...settings, CODEX_TASK_CODEX_BIN: bin })),
    );
    expect(failures.map(({ code }) => code)).toEqual([1, 1, 1]);
    const lines = failures.map(({ line }) => line);
    expect(lines[0]).toContain(
      `codex at ${missing} does not run: spawn ${missing} ENOENT; set CODEX_TASK_CODEX_BIN`,
    );
    expect(lines[1]).toMatch(/broken does not run: Command failed: .*; set CODEX_TASK_CODEX_BIN/);
    expect(lines[2]).toMatch(
      /other is no codex \(--version says "something 1\.2\\n"\); set CODEX_TASK_CODEX_BIN/,
    );
  });

  it('reports that Temporal is out of reach', async () => {
    const dataDir = await testFolder();
    const address = `127.0.0.1:${await freePort()}`;
    const settings = await goodSettings(dataDir);
    const began = performance.now();
    const { code, line } = await failureOf({ ...settings, TEMPORAL_ADDRESS: address });
    expect(line).toBe(
      `Temporal not reachable at ${address}: start it or set TEMPORAL_ADDRESS (codex-task dev starts one)`,
    );
    expect(code).toBe(4);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(await findLeftovers([dataDir])).toEqual([]);
  });

  it('reports a missing namespace', async () => {
    const dataDir = await testFolder();
    const settings = { ...(await goodSettings(dataDir)), TEMPORAL_NAMESPACE: 'nowhere' };
    const { code, line } = await failureOf(settings);
    expect(line).toMatch(/^Temporal at \S+ has no namespace nowhere: create it or set TEMPORAL_NAMESPACE$/);
    expect(code).toBe(2);
    expect(await findLeftovers([dataDir])).toEqual([]);
    expect(await hosts()).toEqual([]);
  });

  it('reports that MongoDB is out of reach, without its password', async () => {
    const dataDir = await testFolder();
    const port = await freePort();
    const MONGODB_URI = `mongodb://codex:hush-hush@127.0.0.1:${port}/tasks?authSource=admin`;
    const { code, line } = await failureOf({ ...(await goodSettings(dataDir)), MONGODB_URI });
    expect(line).toMatch(
      new RegExp(`^MongoDB not reachable at 127\\.0\\.0\\.1:${port}: start it or set MONGODB_URI`),
    );
    expect(line).not.toMatch(/hush|codex:/);
    expect(code).toBe(4);
    expect(await findLeftovers([dataDir])).toEqual([]);
  });

  it('reports a port in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const dataDir = await testFolder();
    const settings = { ...(await goodSettings(dataDir)), CODEX_TASK_LISTEN: `127.0.0.1:${port}` };
    const { code, line } = await failureOf(settings);
    expect(line).toBe(
      `Cannot listen on 127.0.0.1:${port} (EADDRINUSE): stop the process that uses it or set CODEX_TASK_LISTEN`,
    );
    expect(code).toBe(1);
    expect(await findLeftovers([dataDir])).toEqual([]);
    expect(await hosts()).toEqual([]);
  });

  it('reports a data folder that it cannot write', async () => {
    const folder = await testFolder();
    const file = join(folder, 'file');
    await writeFile(file, '');
    const settings = await goodSettings(file);
    const places = [file, join(file, 'below'), UNWRITABLE];
    const failures = await Promise.all(
      places.map((place) => failureOf({ ...settings, CODEX_TASK_DATA_DIR: place })),
    );
    for (const [i, { code, line }] of failures.entries()) {
      expect(line).toMatch(
        new RegExp(
          `^Data folder ${places[i]} is not writable \\(E[A-Z]+.*\\): make it so or set CODEX_TASK_DATA_DIR$`,
        ),
      );
      expect(code).toBe(1);
    }
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('reports all wrong settings in one line, without secrets', async () => {
    const { code, line } = await failureOf({
      CODEX_TASK_LISTEN: 'nowhere',
      CODEX_TASK_DATA_DIR: 'relative',
      CODEX_TASK_MAX_SESSIONS: 'many',
      CODEX_TASK_LOG: 'loud',
      CODEX_TASK_PUBLIC_URL: 'https://me:hush-hush@example.org',
      CODEX_TASK_LISTENER_SECRET: 'hush-hush',
      CODEX_TASK_SEED_KEY: 'hush-hush',
      MONGODB_URI: 'postgres://me:hush-hush@h/db',
    });
    expect(line).toMatch(/^Wrong settings: /);
    for (const said of [
      'CODEX_TASK_LISTEN: expected host:port, got "nowhere"',
      'CODEX_TASK_DATA_DIR: expected an absolute path, got "relative"',
      'CODEX_TASK_MAX_SESSIONS: expected a positive integer, got "many"',
      'CODEX_TASK_LOG: expected one of trace, debug, info, warn, error, silent, got "loud"',
      'CODEX_TASK_PUBLIC_URL: expected an http(s) URL, got "https://…@example.org"',
      'CODEX_TASK_LISTENER_SECRET: expected at least 32 characters',
      'CODEX_TASK_SEED_KEY: expected keys of 32 bytes in base64',
      'MONGODB_URI: expected mongodb:// or mongodb+srv://',
    ])
      expect(line).toContain(said);
    expect(line).not.toContain('hush');
    expect(code).toBe(2);
  });
});

describe('a worker that runs', () => {
  it('is healthy and ready, owns its folder, and exits with 0 and nothing left', async () => {
    const dataDir = await testFolder();
    const settings = await goodSettings(dataDir);
    const worker = await startWorker(settings);
    const { hostId, listenerUrl, workerPid } = worker.line;
    expect(workerPid).toBe(worker.child.pid);
    expect(await hosts()).toEqual([hostId]);

    const get = async (path: string) => {
      const response = await fetch(`${listenerUrl}${path}`);
      return { status: response.status, body: (await response.json()) as object };
    };
    expect(await get('/health')).toEqual({ status: 200, body: { ok: true, hostId, sessions: 0 } });
    expect(await get('/ready')).toEqual({ status: 200, body: { ok: true } });

    const second = { ...settings, CODEX_TASK_LISTEN: `127.0.0.1:${await freePort()}` };
    expect(await failureOf(second)).toEqual({
      code: 1,
      line: `Data folder ${dataDir} is in use by another worker: stop that one or set CODEX_TASK_DATA_DIR`,
    });
    expect(await get('/ready')).toMatchObject({ status: 200 });

    expect(await worker.stop()).toEqual([0, null]);
    expect(worker.log()).not.toMatch(/"level":[56]0/);
    expect(await hosts()).toEqual([]);
    expect(await findLeftovers([dataDir])).toEqual([]);
    await expect(fetch(`${listenerUrl}/health`)).rejects.toThrow();
  });

  it('exits with a code of its own when another runs its host from a copied folder', async () => {
    const [dataDir, copy] = [await testFolder(), await testFolder()];
    const settings = { ...(await goodSettings(dataDir)), CODEX_TASK_LEASE_TTL: '6000' };
    const worker = await startWorker(settings);
    const exited = once(worker.child, 'exit');
    await copyFile(join(dataDir, 'host-id'), join(copy, 'host-id'));
    const other = await startWorker({
      ...settings,
      CODEX_TASK_DATA_DIR: copy,
      CODEX_TASK_LISTEN: `127.0.0.1:${await freePort()}`,
    });
    expect(other.line.hostId).toBe(worker.line.hostId);
    expect(await exited).toEqual([5, null]);
    expect(worker.log()).toContain('host.lease.superseded');
    const response = await fetch(`${other.line.listenerUrl}/ready`);
    expect(response.status).toBe(200);
    expect(await hosts()).toContain(other.line.hostId);
    expect(await other.stop()).toEqual([0, null]);
  });

  it('leaves a folder that the next worker can use at once, even when killed', async () => {
    const dataDir = await testFolder();
    const settings = await goodSettings(dataDir);
    const first = await startWorker(settings);
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const next = await startWorker(settings);
    expect(next.line.hostId).toBe(first.line.hostId);
    expect(await next.stop()).toEqual([0, null]);
  });
});

/** The package as it is when the install left codex out. */
async function buildWithoutCodex(folder: string): Promise<void> {
  await buildPackage(folder, { nodeModules: false });
  const modules = join(packageRoot, 'node_modules');
  await mkdir(join(folder, 'node_modules'));
  for (const name of await readdir(modules))
    if (name !== '@openai') await symlink(join(modules, name), join(folder, 'node_modules', name));
}
