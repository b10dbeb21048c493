import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testFolder } from '../support/folders.js';
import { range } from '../support/range.js';
import { until } from '../support/until.js';
import { event, filled, opened, readAll } from './filled-journal.js';

describe('event ids', () => {
  test('begin at 1, are contiguous and continue when the journal is opened again', async () => {
    const folder = await testFolder();
    const first = await filled(folder, 3);
    await first.close();
    const second = await opened(folder);
    expect(second.lastId).toBe(3);
    expect(second.append(event(4))).toBe(4);
    await second.flushed();
    expect((await readAll(second)).map(({ id }) => id)).toEqual([1, 2, 3, 4]);
  });

  test('are shown to readers only once the event is in the file', async () => {
    const folder = await testFolder();
    const journal = await opened(folder);
    const seen: boolean[] = [];
    const path = join(folder, 'events-000000000001.sse');
    const { readFileSync } = await import('node:fs');
    journal.follow({
      onBatch: ({ lastId }) => seen.push(readFileSync(path, 'utf8').includes(`id: ${lastId}\n`)),
      onEnd: () => undefined,
      onCut: () => undefined,
    });
    for (let n = 1; n <= 50; n++) {
      journal.append(event(n, n * 5_000));
      if (n % 7 === 0) await journal.flushed();
    }
    await journal.flushed();
    expect(seen.length).toBeGreaterThan(5);
    expect(seen).not.toContain(false);
  });

  test('keep a frame whole though its event has a line break between tokens', async () => {
    const journal = await opened(await testFolder());
    journal.append('{\n"n":\r\n1}');
    await journal.flushed();
    expect(await readAll(journal)).toEqual([{ id: 1, data: { n: 1 } }]);
  });
});

describe('replay', () => {
  test('returns the events after any id, from memory and from files', async () => {
    const journal = await filled(await testFolder(), 3_000, {}, 50);
    for (const afterId of [0, 1, 255, 256, 257, 1_999, 2_000, 2_001, 2_999])
      expect((await readAll(journal, afterId)).map(({ data }) => data['n'])).toEqual(
        range(afterId + 1, 3_000),
      );
    expect(await journal.read(3_000, 1_000)).toBeNull();
  });

  test('reads across segments, even after a reopen', async () => {
    const folder = await testFolder();
    const options = { maxBytes: 400_000 };
    await (await filled(folder, 3_000, options, 50)).close();
    expect((await readdir(folder)).length).toBeGreaterThan(3);
    const journal = await opened(folder, options);
    expect((await readAll(journal)).map(({ data }) => data['n'])).toEqual(range(1, 3_000));
    for (const afterId of [500, 1_234, 2_998])
      expect((await readAll(journal, afterId)).map(({ id }) => id)).toEqual(range(afterId + 1, 3_000));
  });

  test('returns pieces of about the requested size', async () => {
    const journal = await filled(await testFolder(), 4_000, {}, 500);
    const sizes: number[] = [];
    for (let cursor = 0; cursor < 4_000;) {
      const frames = (await journal.read(cursor, 20_000))!;
      sizes.push(frames.bytes.length);
      cursor = frames.lastId;
    }
    expect(Math.max(...sizes)).toBeLessThan(300_000);
  });

  test('keeps only the newest segment open', async () => {
    const folder = await testFolder();
    await filled(folder, 3_000, { maxBytes: 400_000 }, 50);
    const descriptors = await readdir('/proc/self/fd');
    const { readlinkSync } = await import('node:fs');
    const ours = descriptors.filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
      } catch {
        return false;
      }
    });
    expect(ours).toHaveLength(1);
  });
});

describe('a closed journal', () => {
  test('takes no more events and tells readers once', async () => {
    const journal = await filled(await testFolder(), 1);
    let ends = 0;
    const leave = journal.follow({ onBatch: () => undefined, onEnd: () => ends++, onCut: () => undefined });
    await journal.end();
    await journal.end();
    expect(ends).toBe(1);
    expect(() => journal.append(event(2))).toThrow('ended');
    leave();
  });

  test('waits for slow readers, then cuts them off', async () => {
    const journal = await filled(await testFolder(), 1);
    const told: string[] = [];
    const reader = (name: string) => ({
      onBatch: () => undefined,
      onEnd: () => told.push(`${name} end`),
      onCut: () => told.push(`${name} cut`),
    });
    const leave = journal.follow(reader('quick'));
    journal.follow(reader('slow'));
    const closing = journal.close(200);
    await until('the end was told', () => told.length === 2);
    leave();
    await closing;
    expect(told).toEqual(['quick end', 'slow end', 'slow cut']);
  });

  test('ends at once when the last reader leaves', async () => {
    const journal = await filled(await testFolder(), 1);
    const leave = journal.follow({
      onBatch: () => undefined,
      onEnd: () => setImmediate(leave),
      onCut: () => expect.unreachable(),
    });
    const start = performance.now();
    await journal.close(20_000);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});
