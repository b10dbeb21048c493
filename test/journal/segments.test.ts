import { open } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { encodeFrames } from '../../src/journal/frames.js';
import { Segments, type OpenFile } from '../../src/journal/segments.js';
import { testFolder } from '../support/folders.js';

test('a sync during the closing of a full segment finds no closed file', async () => {
  const syncs: Promise<void>[] = [];
  let isFull = false;
  const openFile: OpenFile = async (path, flags, mode) => {
    const file = await open(path, flags, mode);
    const close = file.close.bind(file);
    const closeAndSync = () => {
      const closed = close();
      if (isFull) syncs.push(segments.sync());
      return closed;
    };
    return Object.assign(file, { close: closeAndSync });
  };
  const segments = await Segments.open(await testFolder(), { openFile });
  await segments.startAt(1);
  await segments.write(encodeFrames(1, ['{}']));
  isFull = true;
  await segments.startAt(2);
  isFull = false;
  expect(await Promise.all(syncs)).toEqual([undefined]);
  await segments.write(encodeFrames(2, ['{}']));
  expect((await segments.read(1, 1_000))?.lastId).toBe(1);
  expect((await segments.read(2, 1_000))?.lastId).toBe(2);
  await segments.close();
});
