import { expect, test } from 'vitest';
import { readShared } from '../../src/listener/shared-reads.js';
import { readParts } from '../../src/listener/multipart.js';

test('concurrent reads of the same share one result, and the next read reads again', async () => {
  let reads = 0;
  const journal = {
    read: (afterId: number) =>
      Promise.resolve({ firstId: afterId + 1, lastId: afterId + 1, bytes: Buffer.from(`${++reads}`) }),
  };
  const first = await readShared(journal, 0, 100, 5);
  const others = await Promise.all(Array.from({ length: 20 }, () => readShared(journal, 0, 100, 5)));
  expect(new Set([first, ...others].map(({ frames }) => frames)).size).toBe(1);
  expect((await readShared(journal, 1, 100, 5)).frames).not.toBe(first.frames);
  expect(reads).toBe(2);
  for (const { release } of others) {
    release();
    release();
  }
  expect((await readShared(journal, 0, 100, 5)).frames).toBe(first.frames);
  first.release();
  expect(reads).toBe(2);
});

test('a failed read is not kept', async () => {
  let fails = true;
  const journal = { read: () => (fails ? Promise.reject(new Error('x')) : Promise.resolve(null)) };
  await expect(readShared(journal, 0, 100, 5)).rejects.toThrow('x');
  fails = false;
  await expect(readShared(journal, 0, 100, 5)).resolves.toMatchObject({ frames: null });
});

test.each([
  ['form-data; filename="; name=file"; name="x"', 'x', '; name=file'],
  ['form-data; name=file; filename="a\\"b.txt"', 'file', 'a"b.txt'],
  ['form-data; NAME="file"; filename="a%22b"; filename*=UTF-8\'\'%C3%BC', 'file', 'ü'],
  ['form-data', null, null],
])('part parameters are parsed, not searched: %s', async (disposition, name, filename) => {
  const body = async function* () {
    yield Buffer.from(`--b\r\nContent-Disposition: ${disposition}\r\n\r\nx\r\n--b--\r\n`);
  };
  const parts: unknown[] = [];
  for await (const part of readParts(body(), 'b')) parts.push([part.name, part.filename]);
  expect(parts).toEqual([[name, filename]]);
});
