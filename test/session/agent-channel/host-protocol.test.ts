import { appendFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { HookRequest } from '../../../src/contract/index.js';
import { openHookRequests } from '../../../src/session/agent-channel/hook-requests.js';
import { openHostProtocol, PROTOCOL_LOG } from '../../../src/session/agent-channel/host-protocol.js';
import { MAX_HOOK_REQUESTS, type ProtocolTarget } from '../../../src/session/agent-channel/line-actions.js';
import { openLedger, readLedger } from '../../../src/task-folder/ledger.js';
import { readBlob } from '../../../src/store/blobs.js';
import { useStore } from '../../store/support.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { openJournal } from '../../../src/journal/open-journal.js';

const database = useStore();

interface Said {
  type: string;
  line: number;
  [field: string]: unknown;
}

/** A task's folder in which an agent writes; `open` is one worker's life. */
async function agent() {
  const root = await testFolder();
  const work = join(root, 'work');
  await mkdir(join(work, 'deliverables'), { recursive: true });
  const log = join(work, PROTOCOL_LOG);
  await writeFile(log, '');
  const { store } = database;
  return {
    work,
    store,
    write: (text: string) => appendFile(log, text),
    open: async ({ asksCaller = true } = {}) => {
      const journal = await openJournal(join(root, 'journal'));
      const ledger = await openLedger(join(root, 'ledger.jsonl'));
      const hookRequestsTold: HookRequest[] = [];
      const hookRequests = openHookRequests(ledger, (hookRequest) => hookRequestsTold.push(hookRequest));
      const told: string[] = [];
      const ends: unknown[] = [];
      const progress: unknown[] = [];
      const protocol = openHostProtocol({
        store,
        taskId: 't1',
        work,
        maxBytes: 1_000,
        journal,
        ledger,
        hookRequests,
        asksCaller,
        log: pino({ enabled: false }),
      });
      const target: ProtocolTarget = {
        tell: (_id, text) => Promise.resolve(told.push(text)),
        progress: (said) => void progress.push(said),
        conclude: (end) => ends.push(end),
        reconsider: () => undefined,
      };
      let closed: Promise<void> | null = null;
      const close = () =>
        (closed ??= (async () => {
          await protocol.close();
          await journal.close();
          await ledger.close();
        })());
      onTestFinished(close);
      await protocol.start(target);
      const events = async (): Promise<Said[]> => {
        const text = (await journal.read(0, 10_000_000))?.bytes.toString('utf8') ?? '';
        return [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Said);
      };
      const caughtUp = async () => {
        protocol.turnEnded();
        await until('the log read', () => !protocol.isBehind);
      };
      return {
        protocol,
        ledger,
        hookRequests,
        hookRequestsTold,
        told,
        ends,
        progress,
        events,
        caughtUp,
        close,
      };
    },
  };
}

test('an agent that writes without end leaves few records of the log’s position', async () => {
  const own = await agent();
  const worker = await own.open();
  const positions = async () =>
    (await readLedger(join(own.work, '../ledger.jsonl'))).filter(({ t }) => t === 'protocol');
  for (let n = 1; n <= 10; n++) {
    await own.write(`STATUS: ${n}% on\n`);
    await until(`line ${n}`, () => worker.progress.length >= n);
  }
  expect((await positions()).length).toBeLessThan(5);
  await worker.close();
  expect((await positions()).at(-1)).toMatchObject({ line: 10 });
});

test('a file below deliverables is stored with its hash, and others are refused', async () => {
  const { work, store, write, open } = await agent();
  await writeFile(join(work, 'deliverables/a.txt'), 'hello');
  await writeFile(join(work, 'deliverables/large.txt'), 'x'.repeat(1_001));
  await writeFile(join(work, 'private.txt'), 'no');
  await symlink('/etc/passwd', join(work, 'deliverables/passwd'));
  await symlink('../private.txt', join(work, 'deliverables/inside'));
  const host = await open();
  const named = ['deliverables/a.txt', 'deliverables/large.txt', 'private.txt', 'deliverables/passwd'];
  named.push('deliverables/inside', '/etc/passwd', '../../ledger.jsonl', 'deliverables', 'deliverables/none');
  await write(named.map((path) => `DELIVERABLE: ${path}\n`).join(''));
  await host.caughtUp();
  expect(host.hookRequestsTold).toHaveLength(1);
  const [hookRequest] = host.hookRequestsTold;
  expect(hookRequest).toMatchObject({
    kind: 'deliverable',
    deliverable: {
      path: 'deliverables/a.txt',
      bytes: 5,
      sha256: '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
      contentType: 'text/plain; charset=utf-8',
    },
  });
  const { blobId } = (hookRequest as Extract<HookRequest, { kind: 'deliverable' }>).deliverable;
  expect((await readBlob(store, blobId)).toString()).toBe('hello');
  expect(host.told).toHaveLength(8);
  expect(host.told[0]).toBe('System: deliverable large.txt: rejected, it is over 1000 bytes');
  const events = await host.events();
  expect(events.filter(({ type }) => type === 'x-optio-deliverable')).toHaveLength(1);
  expect(events.filter(({ type }) => type === 'x-optio-deliverable-refused')).toHaveLength(8);
});

test('DONE ends the task after earlier announcements, and later lines are ignored', async () => {
  const { work, write, open } = await agent();
  await writeFile(join(work, 'deliverables/a.txt'), 'hello');
  const host = await open();
  await write('DELIVERABLE: deliverables/a.txt\nDONE: fine\nERROR: too late\nSTATUS: later\n');
  await until('the end', () => host.ends.length > 0);
  expect(host.ends).toEqual([{ kind: 'completed' }]);
  expect(host.hookRequests.size).toBe(1);
  expect((await host.events()).map(({ type }) => type)).toEqual(['x-optio-deliverable', 'x-optio-done']);
});

test.each([
  ['ERROR: no compiler\n', 'agent reported ERROR: no compiler'],
  ['ERROR\n', 'agent reported ERROR'],
])('%j fails the task with the agent’s words', async (line, message) => {
  const { write, open } = await agent();
  const host = await open();
  await write(line);
  await until('the end', () => host.ends.length > 0);
  expect(host.ends).toEqual([{ kind: 'failed', code: 'CodexFailed', message }]);
});

test('every keyword becomes an event, but an incomplete line does not', async () => {
  const { write, open } = await agent();
  const host = await open();
  const said = ['STATUS: 7% reading', 'compiling', 'BROWSER: "https://a.example/"', 'ATTENTION: which?'];
  said.push('', 'CLIENT_MESSAGE: chart [1]', 'CALLER_MESSAGE: ask {"a":1}', 'CALLER_MESSAGE: ask {broken');
  await write(`${said.join('\n')}\nATTENTION: not who`);
  await host.caughtUp();
  expect(await host.events()).toMatchObject([
    { type: 'x-optio-status', line: 1, percent: 7, text: 'reading' },
    { type: 'x-optio-log', line: 2, text: 'compiling' },
    { type: 'x-optio-browser', line: 3, url: 'https://a.example/' },
    { type: 'x-optio-attention', line: 4, reason: 'which?' },
    { type: 'x-optio-client-message', line: 6, keyword: 'chart', message: [1] },
    { type: 'x-optio-caller-message', line: 7, keyword: 'ask', message: { a: 1 } },
    { type: 'x-optio-log', line: 8, text: 'CALLER_MESSAGE: ask {broken' },
  ]);
  expect((await host.events()).filter(({ at }) => typeof at !== 'number')).toEqual([]);
  expect(host.progress).toEqual([
    { percent: 7, text: 'reading' },
    { percent: null, text: 'compiling' },
    { percent: null, text: 'CALLER_MESSAGE: ask {broken' },
  ]);
  expect(host.hookRequestsTold).toMatchObject([{ kind: 'callerMessage', keyword: 'ask', message: { a: 1 } }]);
});

test('a message to the caller without a hook becomes only an event', async () => {
  const { write, open } = await agent();
  const host = await open({ asksCaller: false });
  await write('CALLER_MESSAGE: ask 1\n');
  await host.caughtUp();
  expect((await host.events()).map(({ type }) => type)).toEqual(['x-optio-caller-message']);
  expect(host.hookRequestsTold).toEqual([]);
});

test('a task sends at most 500 files and messages, and the model is told of the rest', async () => {
  const { work, write, open } = await agent();
  await writeFile(join(work, 'deliverables/a.txt'), 'hello');
  const host = await open();
  await write(`${'CALLER_MESSAGE: k 1\n'.repeat(MAX_HOOK_REQUESTS + 1)}DELIVERABLE: deliverables/a.txt\n`);
  await host.caughtUp();
  expect(host.hookRequestsTold).toHaveLength(MAX_HOOK_REQUESTS);
  expect(host.told).toEqual(['System: deliverable a.txt: rejected, a task delivers at most 500 files']);
});

test('the next worker acts on each line once and repeats unanswered requests', async () => {
  const { work, write, open } = await agent();
  await writeFile(join(work, 'deliverables/a.txt'), 'hello');
  const first = await open();
  await write('STATUS: 1% one\nDELIVERABLE: deliverables/a.txt\nCALLER_MESSAGE: k 1\n');
  await first.caughtUp();
  const ids = first.hookRequestsTold.map(({ id }) => id);
  expect(ids).toHaveLength(2);
  await first.hookRequests.settle({ id: ids[0]!, text: null });
  await first.close();
  // The position in the ledger may be behind what was acted on.
  const second = await open();
  await write('STATUS: 2% two\nCALLER_MESSAGE: k 2\n');
  await second.caughtUp();
  expect(second.hookRequestsTold.map(({ id }) => id)[0]).toBe(ids[1]);
  expect(second.hookRequestsTold).toHaveLength(2);
  const events = await second.events();
  expect(events.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5]);
  await write('DONE\n');
  await until('the end', () => second.ends.length > 0);
  await second.close();
  const third = await open();
  expect(third.ends).toEqual([{ kind: 'completed' }]);
});

test('a flood of lines is dropped with a warning and hides no deliverable and no end', async () => {
  const { work, write, open } = await agent();
  await writeFile(join(work, 'deliverables/a.txt'), 'hello');
  const host = await open();
  await write(`${'noise\n'.repeat(20_000)}DELIVERABLE: deliverables/a.txt\nDONE\n`);
  await until('the end', () => host.ends.length > 0);
  const events = await host.events();
  expect(events.length).toBeLessThan(2_000);
  const dropped = events.filter(({ type }) => type === 'x-optio-log-dropped');
  const noise = events.filter(({ type }) => type === 'x-optio-log');
  const lines = dropped.reduce((sum, event) => sum + (event['lines'] as number), 0);
  expect(lines + noise.length).toBe(20_000);
  expect(events.slice(-2).map(({ type }) => type)).toEqual(['x-optio-deliverable', 'x-optio-done']);
});
