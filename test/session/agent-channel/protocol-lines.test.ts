import { describe, expect, test } from 'vitest';
import { MAX_LINE_TEXT, parseProtocolLine } from '../../../src/session/agent-channel/protocol-lines.js';

describe('a line of the agent’s log', () => {
  test.each([
    ['STATUS: 40% reading', { kind: 'status', percent: 40, text: 'reading' }],
    ['STATUS: reading', { kind: 'status', percent: null, text: 'reading' }],
    ['STATUS: 400% more than all', { kind: 'status', percent: 100, text: 'more than all' }],
    ['STATUS: 7%', { kind: 'status', percent: 7, text: '' }],
    ['DELIVERABLE: deliverables/a b.txt', { kind: 'deliverable', path: 'deliverables/a b.txt' }],
    ['DONE', { kind: 'done', text: null }],
    ['DONE: all tests pass\r', { kind: 'done', text: 'all tests pass' }],
    ['ERROR: no disk', { kind: 'error', text: 'no disk' }],
    ['ERROR', { kind: 'error', text: null }],
    ['BROWSER: "https://example.com/a?b=1"', { kind: 'browser', url: 'https://example.com/a?b=1' }],
    ['ATTENTION: which colour?', { kind: 'attention', reason: 'which colour?' }],
    ['CLIENT_MESSAGE: chart {"a":[1]}', { kind: 'clientMessage', keyword: 'chart', message: { a: [1] } }],
    ['CALLER_MESSAGE: ask "x"', { kind: 'callerMessage', keyword: 'ask', message: 'x' }],
    ['compiling main.c', { kind: 'log', text: 'compiling main.c' }],
    ['\u001b[31mred', { kind: 'log', text: '[31mred' }],
  ])('is parsed: %j', (line, expected) => expect(parseProtocolLine(line)).toEqual(expected));

  test.each([
    'STATUS:',
    'DELIVERABLE: ',
    'BROWSER: https://example.com',
    'BROWSER: "javascript:alert(1)"',
    'BROWSER: "file:///etc/passwd"',
    'CALLER_MESSAGE: ask {bad json',
    'CALLER_MESSAGE: {"no":"keyword"}',
    `CALLER_MESSAGE: deep ${'['.repeat(40)}${']'.repeat(40)}`,
    'DELIVERABLE: a\u001bb',
    'DONE is near',
    'DONEXYZ',
    ' DONE',
    'done',
    'constructor: x',
    '__proto__: x',
    'toString',
  ])('is plain progress: %j', (line) => expect(parseProtocolLine(line)).toMatchObject({ kind: 'log' }));

  test('is ignored when it is empty', () => {
    expect(parseProtocolLine('')).toBeNull();
    expect(parseProtocolLine(' \t\r')).toBeNull();
  });

  test('is cut without leaving a lone surrogate, wherever it ends', () => {
    const said = parseProtocolLine(`STATUS: ${'\u{1F600}'.repeat(MAX_LINE_TEXT)}`);
    expect(said).toMatchObject({ kind: 'status' });
    const { text } = said as { text: string };
    expect(text.length).toBeLessThanOrEqual(MAX_LINE_TEXT + 1);
    expect(text.isWellFormed()).toBe(true);
    expect(parseProtocolLine('CLIENT_MESSAGE: k "\\ud800"')).toMatchObject({ message: '\u{FFFD}' });
  });

  test('never throws and stays bounded, whatever it holds', () => {
    const random = seeded(20_261_124);
    const parts = [
      'STATUS',
      'DONE',
      ':',
      ' ',
      '"',
      '%',
      '9'.repeat(30),
      '{',
      '}',
      '[',
      '\\ud800',
      '\u{D800}',
      '\0',
    ];
    parts.push(
      'CALLER_MESSAGE: k ',
      'DELIVERABLE: ',
      'BROWSER: "http://',
      '../',
      '\u001b]0;',
      'é',
      '\u2028',
      '-1',
    );
    for (let i = 0; i < 20_000; i++) {
      const length = Math.floor(random() * 12);
      const line = Array.from({ length }, () => parts[Math.floor(random() * parts.length)]).join('');
      const json = JSON.stringify(parseProtocolLine(line));
      expect(json.length).toBeLessThan(MAX_LINE_TEXT * 7);
      expect(json.isWellFormed()).toBe(true);
      expect(json, JSON.stringify(line)).not.toMatch(/\\u001b/);
    }
  });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
