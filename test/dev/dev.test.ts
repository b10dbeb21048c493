import { spawn } from 'node:child_process';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { runDev, type DevOptions, type DevParts } from '../../src/dev/dev.js';
import type { DevLine } from '../../src/dev/dev-page.js';
import { startTimeOf } from '../../src/process/process-identity.js';
import { testFolder } from '../support/folders.js';

const fakeWorker = fileURLToPath(new URL('fake-worker.mjs', import.meta.url));

interface Running {
  /** The first line on stdout. */
  line: Promise<DevLine>;
  out: () => string;
  /** Waits for a line on stderr. */
  said: (pattern: RegExp) => Promise<string>;
  /** Settles when `dev` is over. */
  over: Promise<void>;
  stop: () => Promise<void>;
  endStack: (how: string) => void;
  stackClosed: () => boolean;
}

/** Runs `dev` in this process, with a stack that is none. */
async function run(options: Partial<DevOptions> = {}, env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const controller = new AbortController();
  const out: string[] = [];
  const errors: string[] = [];
  const events = new EventTarget();
  const changed = () => events.dispatchEvent(new Event('change'));
  let endStack: (how: string) => void = () => undefined;
  let stackClosed = false;
  const parts: DevParts = {
    workerCommand: [process.execPath, fakeWorker],
    startStack: async () => ({
      temporal: { address: '127.0.0.1:1', namespace: 'default', uiUrl: null },
      mongodbUri: 'mongodb://%2Fnone/codex_task',
      env: {
        TEMPORAL_ADDRESS: '127.0.0.1:1',
        TEMPORAL_NAMESPACE: 'default',
        MONGODB_URI: 'mongodb://%2Fnone/codex_task',
      },
      ended: new Promise((resolve) => (endStack = resolve)),
      close: async () => void (stackClosed = true),
    }),
  };
  const over = runDev(
    { json: true, worker: true, ephemeral: false, ...options },
    {
      PATH: process.env['PATH'],
      CODEX_TASK_DATA_DIR: await testFolder(),
      CODEX_TASK_LISTEN: '127.0.0.1:0',
      ...env,
    },
    {
      stdout: { write: (text) => (out.push(text), changed()) },
      stderr: { write: (text) => (errors.push(text), changed()) },
      signal: controller.signal,
    },
    parts,
  );
  over.catch(() => undefined).finally(changed);
  const until = async <T>(find: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      await Promise.race([once(events, 'change'), over]);
    }
  };
  const stop = async () => {
    controller.abort();
    await over.catch(() => undefined);
  };
  onTestFinished(stop);
  const line = until(() => out[0]).then((text) => JSON.parse(text) as DevLine);
  line.catch(() => undefined);
  return {
    line,
    out: () => out.join(''),
    said: (pattern) => until(() => errors.find((text) => pattern.test(text))),
    over,
    stop,
    endStack: (how) => endStack(how),
    stackClosed: () => stackClosed,
  };
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function eventsIn(file: string): Promise<{ event: string; env: NodeJS.ProcessEnv }[]> {
  const text = await readFile(file, 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string; env: NodeJS.ProcessEnv });
}

test('the first line has everything that a client of the stack needs, and no secret', async () => {
  const dataDir = await testFolder();
  const dev = await run(
    {},
    {
      CODEX_TASK_DATA_DIR: dataDir,
      CODEX_TASK_LISTENER_SECRET: 'a secret of more than thirty-two characters',
      CODEX_TASK_MONGO_PREFIX: 'mine',
    },
  );
  const line = await dev.line;
  expect(line).toMatchObject({
    temporal: { address: '127.0.0.1:1', namespace: 'default', uiUrl: null },
    mongodbUri: 'mongodb://%2Fnone/codex_task',
    listenerSecretFile: join(dataDir, 'listener-secret'),
    dataDir,
    devPid: process.pid,
    env: {
      TEMPORAL_ADDRESS: '127.0.0.1:1',
      TEMPORAL_NAMESPACE: 'default',
      MONGODB_URI: 'mongodb://%2Fnone/codex_task',
      CODEX_TASK_DATA_DIR: dataDir,
      CODEX_TASK_MONGO_PREFIX: 'mine',
    },
  });
  expect(line.listenerUrl).toBe(`http://${line.env['CODEX_TASK_LISTEN']}`);
  expect(line.workerPid).toBeGreaterThan(1);
  expect(JSON.stringify(line)).not.toContain('a secret of');
  expect(await readFile(line.listenerSecretFile, 'utf8')).toContain('a secret of');
});

test('the worker gets its settings, the environment and the order to stop Codex', async () => {
  const log = join(await testFolder(), 'log');
  const dev = await run(
    {},
    { FAKE_WORKER_LOG: log, OPENAI_API_KEY: 'key', TEMPORAL_API_KEY: 'of another server' },
  );
  const { env } = await dev.line;
  const [started] = await eventsIn(log);
  expect(started?.env).toMatchObject({ ...env, OPENAI_API_KEY: 'key', CODEX_TASK_DRAIN: 'stop' });
  expect(started?.env).not.toHaveProperty('TEMPORAL_API_KEY');
  expect(env).not.toHaveProperty('CODEX_TASK_DRAIN');
});

test('without --json dev prints a page with the next steps', async () => {
  const dev = await run({ json: false });
  await dev.line.catch(() => undefined);
  expect(dev.out()).toMatch(/Temporal +127\.0\.0\.1:1[^]*export MONGODB_URI=[^]*codex-task start --prompt/);
});

test('without a worker the line names address and secret for one that starts later', async () => {
  const dev = await run({ worker: false });
  const line = await dev.line;
  expect(line.workerPid).toBeNull();
  expect(line.listenerUrl).toBe(`http://${line.env['CODEX_TASK_LISTEN']}`);
  expect(await exists(line.listenerSecretFile)).toBe(true);
});

test('an ephemeral stack has and removes a folder of its own outside the temp folder', async () => {
  const cache = await testFolder();
  const dev = await run({ ephemeral: true }, { XDG_CACHE_HOME: cache });
  const { dataDir } = await dev.line;
  expect(dataDir.startsWith(join(cache, 'codex-task', 'ephemeral'))).toBe(true);
  expect(await exists(dataDir)).toBe(true);
  await dev.stop();
  expect(await exists(dataDir)).toBe(false);
  expect(dev.stackClosed()).toBe(true);
});

test('dev keeps and reports what a killed worker may not have saved', async () => {
  const cache = await testFolder();
  const dev = await run(
    { ephemeral: true },
    { XDG_CACHE_HOME: cache, MONGODB_URI: 'mongodb://h/db', FAKE_WORKER_END: '1' },
  );
  const { dataDir } = await dev.line;
  await mkdir(join(dataDir, 'tasks', 'a'), { recursive: true });
  await dev.stop();
  expect(await exists(dataDir)).toBe(true);
  await dev.said(/is kept, since it may hold unsaved credentials/);
});

test('a worker that dies is started again at the same address, and reported', async () => {
  const log = join(await testFolder(), 'log');
  const dev = await run({}, { FAKE_WORKER_LOG: log });
  const { workerPid } = await dev.line;
  process.kill(workerPid!, 'SIGKILL');
  await dev.said(/worker: process \d+ ended \(SIGKILL\), starting it again/);
  const back = await dev.said(/worker: process \d+ is ready/);
  expect(back).not.toContain(` ${workerPid} `);
  const addresses = (await eventsIn(log)).map(({ env }) => env['CODEX_TASK_LISTEN']);
  expect(addresses).toHaveLength(2);
  expect(new Set(addresses).size).toBe(1);
});

test('a worker that never becomes ready ends dev and its servers with one clear line', async () => {
  const dev = await run({}, { FAKE_WORKER_FAILS: '1' });
  await expect(dev.over).rejects.toMatchObject({
    code: 'Unavailable',
    message: 'The worker does not start: exit code 3; its last lines above say why',
  });
  expect(dev.stackClosed()).toBe(true);
});

test('a server that exits ends dev, which names it', async () => {
  const dev = await run();
  await dev.line;
  dev.endStack('MongoDB ended: SIGKILL');
  await expect(dev.over).rejects.toThrow('MongoDB ended: SIGKILL; everything else is stopped');
});

test('a second dev on the same folder is refused in one line', async () => {
  const dataDir = await testFolder();
  const first = await run({}, { CODEX_TASK_DATA_DIR: dataDir });
  await first.line;
  const second = await run({}, { CODEX_TASK_DATA_DIR: dataDir });
  await expect(second.over).rejects.toThrow(
    `Another codex-task dev runs on ${join(dataDir, 'dev')}: stop it, set CODEX_TASK_DATA_DIR or use --ephemeral`,
  );
  await first.stop();
  const third = await run({}, { CODEX_TASK_DATA_DIR: dataDir });
  await third.line;
});

test('a taken listener port is a clear error before anything starts', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const dev = await run({}, { CODEX_TASK_LISTEN: `127.0.0.1:${port}` });
  await expect(dev.over).rejects.toThrow(
    `port ${port} is taken: stop what listens there or set CODEX_TASK_LISTEN`,
  );
});

test('wrong settings are all named together', async () => {
  const dev = await run({}, { CODEX_TASK_LOG: 'loud', CODEX_TASK_MAX_SESSIONS: '0' });
  await expect(dev.over).rejects.toThrow(
    /CODEX_TASK_MAX_SESSIONS[^]*CODEX_TASK_LOG|CODEX_TASK_LOG[^]*MAX_SESSIONS/,
  );
});

test('an app-server that a killed worker left ends with dev', async () => {
  const dataDir = await testFolder();
  const dev = await run({}, { CODEX_TASK_DATA_DIR: dataDir });
  await dev.line;
  const left = await leaveAppServer(dataDir);
  await dev.stop();
  expect(await left.exited).toEqual([null, 'SIGTERM']);
});

async function leaveAppServer(dataDir: string) {
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  const folder = join(dataDir, 'tasks', 'a');
  await mkdir(folder, { recursive: true });
  const record = { pid: child.pid, startTime: await startTimeOf(child.pid!) };
  await writeFile(join(folder, 'process.json'), JSON.stringify(record));
  return { exited: once(child, 'exit') };
}
