import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open, readFile, writeFile, type FileHandle } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { FORMATS, versioned } from '../../src/formats.js';
import { pieceAfter } from '../../src/task-folder/ledger-parts.js';
import {
  openLedger,
  readLedger,
  rereadLedger,
  type Ledger,
  type LedgerRecord,
} from '../../src/task-folder/ledger.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder, testFolder } from '../support/folders.js';
import { range } from '../support/range.js';

const turn = (messageId: string): LedgerRecord => ({ t: 'turn', messageId });
const RECORDS = range(1, 9).map((n) => turn(`m${n}`));
const KEPT = [turn('kept')];

async function opened(path: string): Promise<Ledger> {
  const ledger = await openLedger(path);
  onTestFinished(() => ledger.close());
  return ledger;
}

/** A ledger with some records, read. */
async function someLedger() {
  const path = join(await testFolder(), 'ledger.jsonl');
  const ledger = await opened(path);
  for (const record of RECORDS) await ledger.write(record);
  return { path, ledger, read: await rereadLedger(ledger, path) };
}

/** What a save stores that reached so far. */
async function savedAfter(path: string, after: number) {
  const file = await open(path);
  try {
    const { from, to, end } = await pieceAfter(file, after);
    return { from, end, text: (await readFile(path, 'utf8')).slice(from, to) };
  } finally {
    await file.close();
  }
}

it('records appended after or during the read stay through the compaction', async () => {
  const { path, ledger, read } = await someLedger();
  await ledger.write(turn('before'));
  const compacting = ledger.compact(read.end, KEPT);
  await Promise.all([ledger.write(turn('while')), compacting, ledger.write(turn('too'))]);
  await ledger.write(turn('after'));
  const all = [...KEPT, ...['before', 'while', 'too', 'after'].map(turn)];
  expect(await readLedger(path)).toEqual(all);
  expect((await opened(path)).past).toEqual(all);
  expect((await readFile(path, 'utf8')).split('\n')[0]).toBe(
    JSON.stringify(versioned('ledger', { t: 'format' })),
  );
  expect(FORMATS.ledger.version).toBeGreaterThan(1);
});

it('a ledger compacted since it was read is not compacted from that read', async () => {
  const { path, ledger, read } = await someLedger();
  await ledger.compact(read.end, KEPT);
  await ledger.write(turn('after'));
  await ledger.compact(read.end, []);
  expect(await readLedger(path)).toEqual([...KEPT, turn('after')]);
});

it('a position in the whole ledger stays valid after a compaction, in any worker', async () => {
  const { path, ledger, read } = await someLedger();
  const before = await savedAfter(path, 0);
  expect(before).toMatchObject({ from: 0, end: read.end });
  await ledger.compact(read.end, KEPT);
  // What is saved of it now is a ledger by itself.
  const whole = await savedAfter(path, before.end);
  expect(whole).toEqual({ from: 0, end: expect.any(Number) as number, text: await readFile(path, 'utf8') });
  expect(whole.end).toBeGreaterThan(before.end);
  expect((await savedAfter(path, whole.end)).text).toBe('');
  await ledger.write(turn('a'));
  expect((await savedAfter(path, whole.end)).text).toBe('{"t":"turn","messageId":"a"}\n');
  const next = await opened(path);
  const { end } = await savedAfter(path, whole.end);
  expect(next.end).toBe(end);
  await next.write(turn('b'));
  expect((await savedAfter(path, end)).text).toBe('{"t":"turn","messageId":"b"}\n');
  // Again, and what was saved last reaches less far than what is dropped.
  await next.compact((await rereadLedger(next, path)).end, KEPT);
  expect(await savedAfter(path, end)).toMatchObject({ from: 0, text: await readFile(path, 'utf8') });
});

it('a ledger shorter than its saved part is saved again', async () => {
  const { path, read } = await someLedger();
  const saved = await savedAfter(path, read.end + 1_000);
  expect(saved).toEqual({ from: 0, end: 2 * read.end + 1_000, text: await readFile(path, 'utf8') });
});

it('a ledger stays and grows when the disk has no room for a compacted one', async () => {
  const { path, ledger, read } = await someLedger();
  const handle = await open(path);
  const append = vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, 'appendFile');
  await handle.close();
  onTestFinished(() => append.mockRestore());
  append.mockRejectedValueOnce(new Error('ENOSPC'));
  await expect(ledger.compact(read.end, KEPT)).rejects.toThrow('ENOSPC');
  await ledger.write(turn('after'));
  expect(await readLedger(path)).toEqual([...RECORDS, turn('after')]);
  expect(existsSync(`${path}.compacted`)).toBe(false);
  await ledger.compact(read.end, KEPT);
  expect(await readLedger(path)).toEqual([...KEPT, turn('after')]);
});

it('a closed ledger is not compacted', async () => {
  const { path, ledger, read } = await someLedger();
  await ledger.close();
  await expect(ledger.compact(read.end, KEPT)).rejects.toThrow();
  expect(await readLedger(path)).toEqual(RECORDS);
});

it('a ledger is long from 1 MiB on, and again at twice its compacted size', async () => {
  const { path, ledger } = await someLedger();
  const big = (bytes: number) => turn('x'.repeat(bytes));
  await ledger.write(big(1_000_000));
  expect(ledger.isLong()).toBe(false);
  await ledger.write(big(60_000));
  expect(ledger.isLong()).toBe(true);
  const { end } = await rereadLedger(ledger, path);
  await ledger.compact(end, [big(900_000)]);
  await ledger.write(big(800_000));
  expect(ledger.isLong()).toBe(false);
  await ledger.write(big(110_000));
  expect(ledger.isLong()).toBe(true);
});

/** Compacts a ledger, writes while it does, and says what is durable; killed at the `at`th step on the disk. */
const COMPACT = `
  import fs from 'node:fs/promises';
  import { writeSync } from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const [lib, path, at, kept] = process.argv.slice(1);
  let steps = -1;
  const handle = await fs.open(path);
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  function dieIn(object, name) {
    const own = object[name];
    object[name] = async function (...args) {
      if (steps >= 0 && steps++ === Number(at)) {
        if (name === 'appendFile') await this.write(args[0].subarray(0, args[0].length / 2));
        process.kill(process.pid, 'SIGKILL');
      }
      return own.apply(this, args);
    };
  }
  for (const name of ['open', 'rename', 'rm']) dieIn(fs, name);
  for (const name of ['appendFile', 'sync', 'close', 'read', 'truncate']) dieIn(prototype, name);
  syncBuiltinESMExports();
  const { openLedger } = await import(lib + '/task-folder/ledger.js');
  const ledger = await openLedger(path);
  const write = async (messageId) => {
    await ledger.write({ t: 'turn', messageId });
    writeSync(1, messageId + '\\n');
  };
  steps = 0;
  await Promise.all([ledger.compact(ledger.end, JSON.parse(kept)), write('one'), write('two')]);
  await write('three');
  await ledger.close();
  writeSync(1, 'done\\n');
`;

it('a worker killed at any step leaves the ledger whole, compacted or not', async () => {
  const built = await makeFolder();
  onTestFinished(() => built.remove());
  await buildPackage(built.path);
  const path = join(await testFolder(), 'ledger.jsonl');
  const begin = [versioned('ledger', { t: 'format' }), ...RECORDS];
  const found = new Set<string>();
  for (let at = 0, isDone = false; !isDone; at++) {
    await writeFile(path, begin.map((each) => `${JSON.stringify(each)}\n`).join(''));
    const args = ['--input-type=module', '-e', COMPACT, join(built.path, 'lib'), path, String(at)];
    const child = spawn(process.execPath, [...args, JSON.stringify(KEPT)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    const said = (await text(child.stdout)).trim().split('\n').filter(Boolean);
    const [, signal] = (await exited) as [number | null, string | null];
    isDone = said.at(-1) === 'done';
    expect(signal).toBe(isDone ? null : 'SIGKILL');
    const ledger = await openLedger(path);
    expect(existsSync(`${path}.compacted`)).toBe(false);
    const { past } = ledger;
    const isCompacted = JSON.stringify(past[0]) === JSON.stringify(KEPT[0]);
    const behind = past.slice(isCompacted ? KEPT.length : RECORDS.length);
    expect(past).toEqual([...(isCompacted ? KEPT : RECORDS), ...behind]);
    const durable = said.filter((each) => each !== 'done');
    expect(behind.map((each) => (each.t === 'turn' ? each.messageId : each.t))).toEqual([
      ...durable,
      // One that was written may not have been said.
      ...behind.slice(durable.length).map((each) => (each.t === 'turn' ? each.messageId : each.t)),
    ]);
    found.add(isCompacted ? 'compacted' : 'whole');
    // A next worker goes on, and compacts it.
    await ledger.write(turn('next'));
    const { end } = await rereadLedger(ledger, path);
    await ledger.compact(end, KEPT);
    await ledger.close();
    expect(await readLedger(path)).toEqual(KEPT);
    expect(at).toBeLessThan(100);
  }
  expect([...found]).toEqual(['whole', 'compacted']);
});
