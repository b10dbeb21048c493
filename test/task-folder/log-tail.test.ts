import { execFileSync } from 'node:child_process';
import { appendFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  MAX_LINE_BYTES,
  openLogTail,
  type LogTail,
  type TailPosition,
} from '../../src/task-folder/log-tail.js';
import { testFolder } from '../support/folders.js';

async function openLog(from: TailPosition | null = null, path?: string) {
  const log = path ?? join(await testFolder(), 'optio.log');
  const tail = openLogTail(log, from);
  onTestFinished(() => tail.close());
  return { log, tail };
}

/** Everything there is to read now. */
async function readAll(tail: LogTail): Promise<{ lines: string[]; position: TailPosition | null }> {
  const lines: string[] = [];
  let position: TailPosition | null = null;
  for (;;) {
    const batch = await tail.read();
    if (!batch) return { lines, position };
    lines.push(...batch.lines.map(({ text }) => text));
    tail.keep(batch.position);
    position = batch.position;
    if (batch.atEnd) return { lines, position };
  }
}

test('returns whole lines once, and a partial one when it is complete', async () => {
  const { log, tail } = await openLog();
  expect(await tail.read()).toBeNull();
  await writeFile(log, 'a\nb\npart');
  expect((await readAll(tail)).lines).toEqual(['a', 'b']);
  await appendFile(log, 'ial\n');
  expect((await readAll(tail)).lines).toEqual(['partial']);
  expect((await readAll(tail)).lines).toEqual([]);
});

test('returns the same lines again until their position is saved', async () => {
  const { log, tail } = await openLog();
  await writeFile(log, 'a\n');
  expect((await tail.read())?.lines).toMatchObject([{ text: 'a' }]);
  expect((await tail.read())?.lines).toMatchObject([{ text: 'a' }]);
});

test('continues where an earlier reader stopped', async () => {
  const { log, tail } = await openLog();
  await writeFile(log, 'a\nb');
  const { position } = await readAll(tail);
  await appendFile(log, 'c\nd\n');
  const { tail: next } = await openLog(position, log);
  expect((await readAll(next)).lines).toEqual(['bc', 'd']);
});

test('reads the rest of a file that was moved away, then the new one', async () => {
  const { log, tail } = await openLog();
  await writeFile(log, 'a\n');
  await readAll(tail);
  await appendFile(log, 'b\n');
  await rename(log, `${log}.1`);
  await writeFile(log, 'c\n');
  expect((await readAll(tail)).lines).toEqual(['b', 'c']);
});

test('starts over in a file that was cut', async () => {
  const { log, tail } = await openLog();
  await writeFile(log, 'first line\nsecond line\n');
  await readAll(tail);
  await truncate(log, 0);
  await appendFile(log, 'x\n');
  const batch = await tail.read();
  expect(batch).toMatchObject({ lines: [{ text: 'x' }], restarted: true });
});

test('follows no link and waits for no pipe', async () => {
  const { log, tail } = await openLog();
  await writeFile(`${log}.secret`, 'secret\n');
  await symlink(`${log}.secret`, log);
  expect(await tail.read()).toBeNull();
  await rm(log);
  execFileSync('mkfifo', [log]);
  expect(await tail.read()).toBeNull();
});

test('cuts a line that is too long, and counts it as one', async () => {
  const { log, tail } = await openLog();
  await writeFile(log, `${'x'.repeat(300_000)}\nnext\n`);
  const { lines } = await readAll(tail);
  expect(lines.map((line) => line.length)).toEqual([MAX_LINE_BYTES, 4]);
});

test('skips the middle of a backlog that is too long to read in time', async () => {
  const { log, tail } = await openLog();
  await writeFile(log, 'first\n');
  // As large as its owner likes, and on the disk it takes nothing.
  await truncate(log, 1024 ** 4);
  await appendFile(log, '\nlast\n');
  const began = performance.now();
  const { lines } = await readAll(tail);
  expect(lines).toEqual(['last']);
  expect(performance.now() - began).toBeLessThan(20_000);
});
