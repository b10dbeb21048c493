import { describe, expect, it } from 'vitest';
import {
  countWithin,
  cutLines,
  cutText,
  firstWithin,
  headOf,
  jsonBytes,
  piecesOf,
  textBytes,
} from '../../src/budgets/budgets.js';

/** One of each width in encoded JSON: 1, 2 (escaped), 2, 3, 4 (a pair), 6 (a control character), 6 (a lone surrogate). */
const KINDS: Record<string, string> = {
  ascii: 'a',
  quote: '"',
  newline: '\n',
  latin: 'é',
  cjk: '漢',
  emoji: '😀',
  control: '\u0001',
  delete: '\u007f',
  lone: '\ud83d',
};
const kinds = Object.entries(KINDS);

const encoded = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

/** Texts of random kinds, the same in each run. */
function* texts(count: number): Generator<string> {
  let seed = 7;
  const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
  for (let i = 0; i < count; i++)
    yield Array.from({ length: next(60) }, () => kinds[next(kinds.length)]![1]).join('');
}

describe('bytes of encoded JSON', () => {
  it.each(kinds)('counts the bytes that the encoder writes for %s', (_, char) => {
    for (const text of [char, char.repeat(7), `x${char}x`]) {
      expect(textBytes(text) + 2).toBe(encoded(text));
      expect(jsonBytes({ [text]: [text, 1, null, { text }] })).toBe(
        encoded({ [text]: [text, 1, null, { text }] }),
      );
    }
  });

  it('counts the bytes of texts of all kinds mixed', () => {
    for (const text of texts(500)) expect([text, textBytes(text)]).toEqual([text, encoded(text) - 2]);
  });

  it('counts nothing for what JSON leaves out', () => {
    expect(jsonBytes(undefined)).toBe(0);
  });
});

describe('a text that is cut', () => {
  it.each(kinds)('keeps a text whole at its limit and cuts a character one byte below, for %s', (_, char) => {
    const text = char.repeat(20);
    expect(cutText(text, textBytes(text))).toBe(text);
    const cut = cutText(text, textBytes(text) - 1);
    expect(cut.endsWith('…')).toBe(true);
    expect(textBytes(cut)).toBeLessThanOrEqual(textBytes(text) - 1);
    expect(text.startsWith(cut.slice(0, -1))).toBe(true);
    if (char !== KINDS['lone']) expect(cut.isWellFormed()).toBe(true);
  });

  it('keeps as much of a text as fits, whatever it holds', () => {
    for (const text of texts(300))
      for (const max of [0, 1, 3, 10, 50]) {
        const head = headOf(text, max);
        expect(textBytes(head)).toBeLessThanOrEqual(max);
        const rest = text.slice(head.length);
        // Not one character more would do.
        const [next = ''] = rest;
        if (rest !== '') expect(textBytes(head + next)).toBeGreaterThan(max);
      }
  });

  it('splits a text into pieces within the limit that join to the same text', () => {
    for (const text of texts(300)) {
      const pieces = piecesOf(text, 12);
      expect(pieces.join('')).toBe(text);
      for (const piece of pieces) expect(textBytes(piece)).toBeLessThanOrEqual(12);
    }
    expect(piecesOf('', 12)).toEqual(['']);
  });

  it('cuts a text in time proportional to its length', () => {
    const text = '漢😀"\n'.repeat(400_000);
    // Of this process, whatever else the machine does. Microseconds.
    const begun = process.cpuUsage();
    cutText(text, 1_000_000);
    piecesOf(text, 10_000);
    expect(process.cpuUsage(begun).user).toBeLessThan(3_000_000);
  });
});

describe('lines that are cut', () => {
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `key${i}: unknown key`).join('\n');

  it('keeps the first lines and counts the others', () => {
    const cut = cutLines(lines(1_000), 300);
    expect(textBytes(cut)).toBeLessThanOrEqual(300);
    const shown = cut.split('\n');
    expect(shown[0]).toBe('key0: unknown key');
    expect(shown.at(-1)).toBe(`… and ${1_000 - (shown.length - 1)} more`);
    expect(shown.length).toBeGreaterThan(5);
  });

  it('adds lines that were left out before to the count', () => {
    const twice = cutLines(cutLines(lines(1_000), 2_000), 300);
    expect(twice).toBe(cutLines(lines(1_000), 300));
  });

  it('keeps at least the beginning of the first line', () => {
    const cut = cutLines(`${'漢'.repeat(500)}\nsecond`, 200);
    expect(textBytes(cut)).toBeLessThanOrEqual(200);
    expect(cut).toMatch(/^漢+…\n… and 1 more$/);
    expect(cutLines('漢'.repeat(500), 200)).toMatch(/^漢+…$/);
  });
});

describe('items that are counted', () => {
  it('fits items up to the limit of their list, and not one byte above', () => {
    const items = ['漢', { a: 1 }, '\u0001', '😀'];
    const whole = encoded(items);
    expect(countWithin(items, whole)).toBe(4);
    expect(countWithin(items, whole - 1)).toBe(3);
    expect(firstWithin(items, whole - 1)).toEqual({ kept: items.slice(0, 3), more: 1 });
    expect(countWithin([], 0)).toBe(0);
  });
});
