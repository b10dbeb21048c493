import { appendFile, open, readdir, readFile, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Journal } from '../../src/journal/journal.js';
import { testFolder } from '../support/folders.js';
import { range } from '../support/range.js';
import { event, filled, opened, readAll } from './filled-journal.js';
import { openJournal } from '../../src/journal/open-journal.js';

const newestFile = async (folder: string) => join(folder, (await readdir(folder)).sort().at(-1)!);

async function rawRead(journal: Journal, afterId: number) {
  const found: { id: number; data: Record<string, unknown> }[] = [];
  for (let cursor = afterId; ;) {
    const frames = await journal.read(cursor, 50_000);
    if (!frames) return found;
    for (const [, id, data] of frames.bytes.toString('utf8').matchAll(/id: (\d+)\ndata: (.*)\n\n/g))
      found.push({ id: Number(id), data: JSON.parse(data!) as Record<string, unknown> });
    cursor = frames.lastId;
  }
}

describe('a journal after a crash', () => {
  test.each([
    ['a cut record', 'id: 4\ndata: {"n":4'],
    ['a cut first line', 'id'],
  ])('drops %s and uses its id again', async (_what, tail) => {
    const folder = await testFolder();
    await (await filled(folder, 3)).close();
    await appendFile(await newestFile(folder), tail);
    const journal = await opened(folder);
    expect(journal.lastId).toBe(3);
    journal.append(event(4));
    await journal.flushed();
    expect((await readAll(journal)).map(({ data }) => data['n'])).toEqual([1, 2, 3, 4]);
    expect((await readFile(await newestFile(folder), 'utf8')).match(/id: /g)).toHaveLength(4);
  });

  test.each([
    ['zeros', '\0'.repeat(5_000)],
    ['a whole frame whose id cannot be', 'id: 70\ndata: {"n":70}\n\n'],
    ['a repeated id', 'id: 3\ndata: {"n":3}\n\n'],
    ['a frame that is none', 'hello\n\n'],
  ])('continues at the next ten thousand after %s at the end, which may hold events', async (_what, tail) => {
    const folder = await testFolder();
    await (await filled(folder, 3)).close();
    await appendFile(await newestFile(folder), tail);
    const journal = await opened(folder);
    expect(journal.isCut).toBe(true);
    expect(journal.append(event(4))).toBe(10_001);
    await journal.flushed();
    expect((await rawRead(journal, 0)).map(({ id }) => id)).toEqual([1, 2, 3, 10_000, 10_001]);
  });

  test.each([
    ['the newest segment', undefined, 1_000],
    ['a closed segment', { maxBytes: 400_000 }, 3_000],
  ])('has a gap for a damaged event in %s and keeps later events', async (_where, options, count) => {
    const folder = await testFolder();
    await (await filled(folder, count, options, 50)).close();
    const first = join(folder, (await readdir(folder)).sort()[0]!);
    const bytes = await readFile(first);
    bytes[bytes.indexOf('id: 100\n')] = 0;
    bytes.fill(0, bytes.indexOf('id: 200\n'), bytes.indexOf('id: 300\n') - 2);
    await writeFile(first, bytes);
    for (const _ of [1, 2]) {
      const journal = await opened(folder, options);
      expect(journal.lastId).toBe(count);
      const found = await Promise.all([rawRead(journal, 0), rawRead(journal, 250)]);
      const gaps = found[0].filter(({ data }) => data['type'] === 'x-optio-gap').map(({ data }) => data);
      expect(gaps).toMatchObject([
        { from: 100, to: 100 },
        { from: 200, to: 299 },
      ]);
      expect(found[0]).toHaveLength(count - 101 + 2);
      expect(found[1].slice(0, 2)).toMatchObject([
        { id: 299, data: { from: 251, to: 299 } },
        { id: 300, data: { n: 300 } },
      ]);
      await journal.close();
    }
  });

  test('finds an event of eight megabytes whole, and drops it when it was cut', async () => {
    const folder = await testFolder();
    const journal = await filled(folder, 2);
    journal.append(event(3, 8_000_000));
    await journal.close();
    const whole = await opened(folder);
    expect(whole.lastId).toBe(3);
    expect((await readAll(whole, 2))[0]!.data['fill']).toHaveLength(8_000_000);
    await whole.close();
    const file = await open(await newestFile(folder), 'r+');
    await file.truncate(5_000_000);
    await file.close();
    expect((await opened(folder)).lastId).toBe(2);
  });
});

describe('a gap', () => {
  test('is named by the first event after a loss, at the next ten thousand', async () => {
    const folder = await testFolder();
    await (await filled(folder, 5)).close();
    const journal = await opened(folder, { lostUpTo: 12_345 });
    journal.append(event(6));
    await journal.flushed();
    const at = expect.any(Number) as number;
    const gap = { id: 20_000, data: { type: 'x-optio-gap', from: 6, to: 19_999, at } };
    const all = (await rawRead(journal, 0)).slice(-2);
    expect(all).toEqual([gap, { id: 20_001, data: { n: 6, fill: '' } }]);
    expect((await rawRead(journal, 7_000))[0]).toEqual(gap);
    await journal.close();
    const again = await opened(folder);
    expect(again.lastId).toBe(20_001);
    expect((await rawRead(again, 5))[0]).toEqual(gap);
  });

  test('names the events removed for their size', async () => {
    const folder = await testFolder();
    const options = { maxBytes: 100_000 };
    const journal = await filled(folder, 4_000, options, 50);
    const names = (await readdir(folder)).sort();
    const oldest = Number(/\d+/.exec(names[0]!)![0]);
    expect(oldest).toBeGreaterThan(1);
    const all = await rawRead(journal, 0);
    expect(all[0]).toEqual({ id: oldest - 1, data: { type: 'x-optio-gap', from: 1, to: oldest - 1 } });
    expect(all.slice(1).map(({ id }) => id)).toEqual(range(oldest, 4_000));
    expect((await rawRead(journal, 40))[0]!.data).toEqual({ type: 'x-optio-gap', from: 41, to: oldest - 1 });
    expect((await rawRead(journal, oldest - 1))[0]!.id).toBe(oldest);
    const sizes = await Promise.all(names.map(async (name) => (await readFile(join(folder, name))).length));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(150_000);
  });

  test('stands for a missing segment in the middle', async () => {
    const folder = await testFolder();
    const options = { maxBytes: 400_000 };
    await (await filled(folder, 3_000, options, 50)).close();
    const names = (await readdir(folder)).sort();
    const first = (at: number) => Number(/\d+/.exec(names[at]!)![0]);
    await writeFile(join(folder, names[1]!), '');
    const journal = await opened(folder, options);
    const gap = (await rawRead(journal, 0)).find(({ data }) => data['type'] === 'x-optio-gap');
    expect(gap?.data).toEqual({ type: 'x-optio-gap', from: first(1), to: first(2) - 1 });
  });
});

describe('a journal on a disk that refuses', () => {
  const onFullDisk = (path: string, flags: string) => open('/dev/full', flags === 'r' ? 'r' : 'w');

  test('reports the error at once, and shows nothing unwritten', async () => {
    const failures: string[] = [];
    const journal = await openJournal(await testFolder(), {
      openFile: onFullDisk,
      onFailure: (error) => failures.push((error as NodeJS.ErrnoException).code!),
    });
    const seen: number[] = [];
    journal.follow({
      onBatch: ({ lastId }) => seen.push(lastId),
      onEnd: () => seen.push(-1),
      onCut: () => undefined,
    });
    journal.append(event(1));
    await expect(journal.flushed()).rejects.toThrow('ENOSPC');
    journal.append(event(2));
    await expect(journal.sync()).rejects.toThrow('ENOSPC');
    await journal.close();
    expect(failures).toEqual(['ENOSPC']);
    expect(seen).toEqual([-1]);
    expect(journal.lastId).toBe(0);
  });

  test('closes each file of a journal that cannot be read', async () => {
    const folder = await testFolder();
    const journal = await openJournal(folder);
    journal.append(event(1));
    await journal.close();
    const files: FileHandle[] = [];
    const openFile = async (path: string, flags: string) => {
      const file = await open(path, flags);
      files.push(file);
      return Object.assign(file, { read: () => Promise.reject(new Error('EIO')) });
    };
    await expect(openJournal(folder, { openFile })).rejects.toThrow('EIO');
    expect(files.map(({ fd }) => fd)).toEqual([-1]);
  });

  test('takes events again after the repair, with the id after the last shown', async () => {
    let isFull = false;
    const openFile = async (path: string, flags: string) => {
      const file = await open(path, flags);
      const write = file.write.bind(file) as (...args: unknown[]) => Promise<unknown>;
      const refuse = () => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }));
      return Object.assign(file, { write: (...args: unknown[]) => (isFull ? refuse() : write(...args)) });
    };
    const journal = await openJournal(await testFolder(), { openFile });
    onTestFinished(() => journal.close());
    journal.append(event(1));
    await journal.flushed();
    isFull = true;
    journal.append(event(2, 1_000_000));
    await expect(journal.flushed()).rejects.toThrow('ENOSPC');
    isFull = false;
    await journal.mend();
    expect(journal.append(event(3))).toBe(2);
    await journal.flushed();
    expect((await readAll(journal)).map(({ id, data }) => [id, data['n']])).toEqual([
      [1, 1],
      [2, 3],
    ]);
  });
});
