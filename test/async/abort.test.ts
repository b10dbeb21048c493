import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { abortable, onAbort, orAborted, untilAborted } from '../../src/async/abort.js';

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;
const never = new Promise<never>(() => undefined);
const gone = AbortSignal.abort(new Error('gone'));

describe('onAbort', () => {
  it('calls once at the abort, or at once when the signal has aborted', () => {
    const over = new AbortController();
    const act = vi.fn();
    onAbort(over.signal, act);
    expect(act).not.toHaveBeenCalled();
    over.abort();
    expect(act).toHaveBeenCalledOnce();
    onAbort(over.signal, act);
    expect(act).toHaveBeenCalledTimes(2);
  });

  it('removes its own listener and no other', () => {
    const over = new AbortController();
    const act = vi.fn();
    const release = onAbort(over.signal, act);
    onAbort(over.signal, act);
    release();
    expect(listeners(over.signal)).toBe(1);
    over.abort();
    expect(act).toHaveBeenCalledOnce();
  });

  it('never calls without a signal', () => {
    const act = vi.fn();
    onAbort(undefined, act)();
    expect(act).not.toHaveBeenCalled();
  });
});

describe('untilAborted', () => {
  it('resolves at the abort, or at once after it, and leaves no listener', async () => {
    const over = new AbortController();
    const aborted = untilAborted(over.signal);
    over.abort();
    await aborted;
    await untilAborted(over.signal);
    expect(listeners(over.signal)).toBe(0);
  });
});

describe.each([
  ['orAborted', orAborted],
  ['abortable', abortable],
])('%s', (_, wait) => {
  it('passes the result of the promise on and leaves no listener', async () => {
    const { signal } = new AbortController();
    expect(await wait(Promise.resolve(5), signal)).toBe(5);
    await expect(wait(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken');
    expect(listeners(signal)).toBe(0);
    expect(await wait(Promise.resolve(5), undefined)).toBe(5);
  });

  it('stops waiting once the signal aborts, and handles a later failure', async () => {
    const over = new AbortController();
    let fail: (error: Error) => void = () => undefined;
    const late = new Promise<never>((_, reject) => (fail = reject));
    const waiting = wait(late, over.signal).catch((error: unknown) => error);
    over.abort(new Error('gone'));
    await waiting;
    // The run fails for a rejection that nobody handles.
    fail(new Error('too late'));
    expect(listeners(over.signal)).toBe(0);
  });
});

it('orAborted returns undefined at an abort, even one before the call', async () => {
  const over = new AbortController();
  const waiting = orAborted(never, over.signal);
  over.abort();
  expect(await waiting).toBeUndefined();
  expect(await orAborted(never, gone)).toBeUndefined();
});

it('abortable throws the reason of an abort, even one before the call', async () => {
  const over = new AbortController();
  const waiting = abortable(never, over.signal);
  over.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(abortable(never, gone)).rejects.toThrow('gone');
});
