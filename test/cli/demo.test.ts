import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tickWarnings } from '../../src/cli/demo/open-demo.js';
import type { TaskStatus } from '../../src/contract/index.js';
import { cacheFolder } from '../../src/dev/cache-folder.js';
import { buildPackage } from '../support/built-package.js';
import { testFolder } from '../support/folders.js';
import { findLeftovers } from '../support/leftovers.js';
import { runCli } from './run-cli.js';

/** A cache whose downloads and builds are the real one's, with an empty place for what the demo makes. */
async function ownCache(): Promise<{ XDG_CACHE_HOME: string; ephemeral: string }> {
  const XDG_CACHE_HOME = await testFolder();
  const ephemeral = join(XDG_CACHE_HOME, 'codex-task', 'ephemeral');
  await mkdir(ephemeral, { recursive: true });
  const real = cacheFolder(process.env);
  for (const name of await readdir(real))
    if (name !== 'ephemeral') await symlink(join(real, name), join(XDG_CACHE_HOME, 'codex-task', name));
  return { XDG_CACHE_HOME, ephemeral };
}

interface Line {
  id?: number;
  step?: string;
  [field: string]: unknown;
}

/** A proxy that lets nothing through, and what it was asked for. */
async function refusingProxy() {
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(502).end();
  });
  proxy.on('connect', ({ url }, socket) => {
    asked.push(url ?? '');
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const at = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].flatMap((name) => [name, name.toLowerCase()]);
  const noProxy = { NO_PROXY: '', no_proxy: '' };
  return {
    asked,
    env: { ...Object.fromEntries(names.map((name) => [name, at])), ...noProxy },
    close: () => proxy.close(),
  };
}

/** Runs a demo behind a proxy to its end and gives what it printed; it has left nothing then. */
async function demo(...flags: string[]): Promise<{ lines: Line[]; steps: Line[] }> {
  const { XDG_CACHE_HOME, ephemeral } = await ownCache();
  const folder = await testFolder();
  await buildPackage(folder);
  const proxy = await refusingProxy();
  const servers = { TEMPORAL_ADDRESS: '', MONGODB_URI: '', OPENAI_API_KEY: '' };
  const env = { XDG_CACHE_HOME, ...servers, ...proxy.env };
  const { code, stdout, stderr } = await runCli(folder, ['demo', '--json', ...flags], { env });
  proxy.close();
  expect(code, `${stdout}${stderr}`).toBe(0);
  expect(proxy.asked.filter((url) => /127\.0\.0\.1|localhost|\[?::1/.test(url))).toEqual([]);
  expect(await findLeftovers([ephemeral])).toEqual([]);
  expect(await readdir(ephemeral)).toEqual([]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { lines, steps: lines.filter(({ step }) => step !== undefined) };
}

const namesOf = (steps: readonly Line[]) => steps.map(({ step }) => step);

test('shows each warning of the demo’s task as a step, without control characters', async () => {
  const steps: unknown[] = [];
  const status = async () => ({ warnings: ['one', 'two\x1b[31m'] }) as TaskStatus;
  await tickWarnings({ status }, (...step) => steps.push(step));
  expect(steps).toEqual([
    ['Warning', 'one', { warning: 'one' }],
    ['Warning', expect.not.stringContaining('\x1b'), { warning: 'two\x1b[31m' }],
  ]);
});

describe.concurrent('the demo', () => {
  test(
    'runs a whole task behind a proxy and leaves nothing behind',
    { timeout: 240_000 },
    async ({ expect }) => {
      const { lines, steps } = await demo();
      expect(namesOf(steps)).toEqual(
        'Temporal MongoDB Worker Model Seed Task Permission Result History Events Done'.split(' '),
      );
      const { seedId } = steps[4] as { seedId?: string };
      expect(steps[7]).toMatchObject({
        result: {
          outcome: 'completed',
          turns: 1,
          capturedSeedId: seedId,
          finalMessage: expect.stringMatching(/^Done/) as string,
        },
      });
      const ids = lines.flatMap(({ id }) => id ?? []);
      expect(ids).toEqual(ids.map((_, i) => i + 1));
    },
  );

  test(
    'loses a host, continues on another, then resumes in a new task that remembers',
    {
      timeout: 240_000,
    },
    async ({ expect }) => {
      const { lines, steps } = await demo('--resume');
      const names =
        'Temporal,MongoDB,Model,Seed,Host,Task,Checkpoint,Killed,Message,Host,Taken over,Remembers,File,Closed,New task,Remembers,Result,History,Events,History,Events,Done';
      expect(namesOf(steps)).toEqual(names.split(','));
      const [, , , , first, task, , killed, , second, taken, remembers, file, closed, anew, again, result] =
        steps as [
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
          Line,
        ];
      // Worker, codex and guard.
      expect((killed['killed'] as number[]).length).toBeGreaterThanOrEqual(3);
      expect(killed['killed']).toContain(first['workerPid']);
      expect(killed['dataDir']).toBe(first['dataDir']);
      expect(second['hostId']).not.toBe(first['hostId']);
      expect(taken).toMatchObject({ hostId: second['hostId'], leaseEpoch: 2 });
      const word = String(task['word']);
      expect(file).toMatchObject({ path: 'word.txt', text: `${word}\n` });
      for (const each of [remembers, again]) {
        expect(each['answer']).toBe(`You told me to remember ${word}. word.txt holds: ${word}`);
        const given = each['given'] as { role: string; text: string }[];
        expect(given[0]).toMatchObject({ role: 'user', text: expect.stringContaining(word) as string });
      }
      expect(closed['result']).toMatchObject({ outcome: 'closed', turns: 2 });
      expect(result['result']).toMatchObject({
        taskId: anew['taskId'],
        outcome: 'completed',
        threadId: taken['threadId'],
        finalMessage: again['answer'],
      });
      const eventsOf = (taskId: unknown) =>
        lines.filter((line) => line.taskId === taskId && line.id !== undefined);
      const gaps = eventsOf(task['taskId']).filter(
        ({ event }) => (event as { type?: string }).type === 'x-optio-gap',
      );
      expect(gaps).toHaveLength(1);
      const ids = eventsOf(anew['taskId']).map(({ id }) => id);
      expect(ids).toEqual(ids.map((_, i) => i + 1));
    },
  );
});
