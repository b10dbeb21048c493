import { describe, expect, it } from 'vitest';
import { read, sourceFiles } from './support/documents.js';

/** What leaves a timer, a listener or a waiter behind when it is written by hand, and what to take for it. */
const BY_HAND: Record<string, RegExp> = {
  'within, deadline, orAborted, abortable or firstToSettle of src/async': /\bPromise\.(?:race|any)\b/,
  'onAbort or untilAborted of src/async':
    /(?:add|remove)EventListener\(\s*'abort'|\.onabort\b|\bonce\(\s*[\w.]*[sS]ignal\s*,\s*'abort'/,
  'pause of src/async': /\b(?:delay|sleep|setTimeout)\([^;]*\bsignal\b[^;]*\)\s*\.catch\(/,
  'KeyedQueue or SingleFlight of src/async': /new Map<[^<>]*, Promise<(?:unknown|void)>>/,
};

/** Where it is meant so, and why. */
const EXCEPTIONS: Record<string, string> = {
  'codex/rpc.ts': 'a connection opens or closes, and has a deadline of its own',
  'cli/demo/demo-stack.ts': 'a stack is ready or broken, and both end with it',
  'dev/stack.ts': 'a stack ends with the first of its servers, and all end with it',
  'store/driver-sockets.ts': 'the other one is a socket, whose listener is taken off there',
  'session/conversation/done-once.ts': 'remembers what was done, over workers too',
  'session/conversation/message-queue.ts': 'remembers what was taken',
  'activities/idempotent-activities.ts': 'keeps what came of an attempt for the next one',
};

const code = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/ [^\n]*/g, '');

/** What to take in the place of what a text does by hand. */
const byHand = (text: string): string[] =>
  Object.entries(BY_HAND).flatMap(([better, pattern]) => (pattern.test(code(text)) ? [better] : []));

describe('waiting', () => {
  it('happens in src/async alone, except where a reason is named', () => {
    const found: string[] = [];
    const excepted: string[] = [];
    // Workflow code waits with the SDK: what is here is no part of its sandbox.
    const paths = sourceFiles
      .map((name) => name.slice('src/'.length))
      .filter((path) => !/^(async|workflows)\//.test(path));
    expect(paths.length).toBeGreaterThan(200);
    for (const path of paths)
      for (const better of byHand(read(`src/${path}`)))
        if (path in EXCEPTIONS) excepted.push(path);
        else found.push(`${path}: use ${better}, or give a reason in EXCEPTIONS`);
    expect(found).toEqual([]);
    expect([...new Set(excepted)].sort()).toEqual(Object.keys(EXCEPTIONS).sort());
  });

  it.each([
    ['await Promise.race([a, b])', true],
    ["signal.addEventListener('abort', stop, { once: true })", true],
    ["await once(options.signal, 'abort')", true],
    ['await delay(5, undefined, { signal }).catch(() => undefined)', true],
    ['const lanes = new Map<string, Promise<unknown>>()', true],
    ['await delay(5, undefined, { signal })', false],
    ['// as Promise.race does', false],
    ["await once(socket, 'connect', { signal })", false],
  ])('is detected in %s if it is by hand', (text, expected) => {
    expect(byHand(text).length > 0).toBe(expected);
  });
});
