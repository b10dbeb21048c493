import { randomBytes } from 'node:crypto';
import { constants, deflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { howToDeflate } from '../../src/snapshots/how-to-deflate.js';

const LENGTH = 256 * 1024;
const words = 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod'.split(' ');
const text = Array.from(randomBytes(LENGTH / 4), (byte) => words[byte % words.length]).join(' ');
const hex = Buffer.from(randomBytes(LENGTH / 2).toString('hex'));
const withRuns = Buffer.from(hex);
for (let at = 0; at < LENGTH; at += 4096) withRuns.fill(0, at, at + 400);

it.each([
  ['text is searched for what repeats', Buffer.from(text), 0, { level: 1 }],
  ['digits are only coded', hex, 0, { level: 1, strategy: constants.Z_HUFFMAN_ONLY }],
  ['runs of one byte are told from what repeats', withRuns, 0, { level: 1, strategy: constants.Z_RLE }],
  ['so are those of headers that no sample has', hex, 0.1, { level: 1, strategy: constants.Z_RLE }],
  ['what does not shrink is stored', randomBytes(LENGTH), 0, { level: 0 }],
])('%s', (_, block, headers, expected) => {
  const { options, share } = howToDeflate(block, headers);
  expect(options).toEqual(expected);
  // What is made room for holds it.
  expect(deflateRawSync(block, options).length).toBeLessThanOrEqual(share * block.length + 4096);
});

it('chooses a way for an empty block, too', () => {
  expect(deflateRawSync(Buffer.alloc(0), howToDeflate(Buffer.alloc(0)).options).length).toBeGreaterThan(0);
});
