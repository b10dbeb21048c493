import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FORMATS, NewerFormat } from '../../src/formats.js';
import { knownLinesOf, wholeLinesEnd } from '../../src/task-folder/ledger-parts.js';
import { testFolder } from '../support/folders.js';

test.each([
  ['', 0, 0],
  ['{"t":"close"}\n', 0, 14],
  ['{"t":"close"}\n{"t":', 0, 14],
  ['{"t":"close"}\n{"t":', 14, 14],
  ['{"t":"cl', 0, 0],
  [`a\n${'b'.repeat(200_000)}`, 0, 2],
  [`a\n${'b'.repeat(200_000)}\n`, 2, 200_003],
  [`${'b'.repeat(65_535)}\n${'c'.repeat(65_535)}`, 0, 65_536],
])('a piece of a ledger ends with its last whole line (%#)', async (text, from, end) => {
  const path = join(await testFolder(), 'ledger');
  await writeFile(path, text);
  const file = await open(path);
  onTestFinished(() => file.close());
  expect(await wholeLinesEnd(file, from)).toBe(end);
});

const NEWER = `{"t":"format","version":${FORMATS.ledger.version + 1}}`;
const inPieces = async function* (text: string, bytes: number, asked: number[] = []): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += bytes) {
    asked.push(at);
    yield await Promise.resolve(Buffer.from(text.slice(at, at + bytes)));
  }
};

test.each([1, 7, 30, 1_000])('a line of a newer worker is refused in pieces of %i bytes', async (bytes) => {
  const read = async (text: string) => {
    let passed = '';
    for await (const piece of knownLinesOf(inPieces(text, bytes), 'A ledger')) passed += piece.toString();
    return passed;
  };
  const known = `{"t":"format","version":1}\n{"t":"message","message":{"messageId":"a","text":"${'x'.repeat(300)} \\n${NEWER.replaceAll('"', '\\"')}"}}\n`;
  expect(await read(known)).toBe(known);
  await expect(read(`${known}${NEWER}\n`)).rejects.toThrow(NewerFormat);
  await expect(read(NEWER)).rejects.toThrow(NewerFormat);
});

test('a ledger reads no more than it takes', async () => {
  const asked: number[] = [];
  const lines = knownLinesOf(inPieces('x'.repeat(100), 10, asked), 'A ledger');
  await lines.next();
  await lines.next();
  expect(asked).toEqual([0, 10]);
  await lines.return(undefined);
});
