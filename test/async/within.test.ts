import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deadline, within } from '../../src/async/within.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new Promise<never>(() => undefined);
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('within', () => {
  it('returns what comes in time and leaves neither timer nor listener', async () => {
    const { signal } = new AbortController();
    expect(await within(1_000, Promise.resolve(5), signal)).toBe(5);
    await expect(within(1_000, Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken');
    expect(vi.getTimerCount()).toBe(0);
    expect(listeners(signal)).toBe(0);
  });

  it('returns undefined after the time, and handles a later failure', async () => {
    let fail: (error: Error) => void = () => undefined;
    const late = new Promise<never>((_, reject) => (fail = reject));
    const waiting = within(1_000, late);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await waiting).toBeUndefined();
    fail(new Error('too late'));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('returns undefined at an abort and leaves neither timer nor listener', async () => {
    const over = new AbortController();
    const waiting = within(1_000, never, over.signal);
    over.abort();
    expect(await waiting).toBeUndefined();
    expect(await within(1_000, never, over.signal)).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
    expect(listeners(over.signal)).toBe(0);
  });

  it('accepts a time beyond the limit of timers', async () => {
    const waiting = within(Infinity, never);
    let isOver = false;
    void waiting.then(() => (isOver = true));
    await vi.advanceTimersByTimeAsync(86_400_000);
    expect(isOver).toBe(false);
  });
});

describe('deadline', () => {
  it('returns what comes in time, even undefined', async () => {
    expect(await deadline(1_000, Promise.resolve(undefined))).toBeUndefined();
    await expect(deadline(1_000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('throws the caller’s error after the time', async () => {
    const waiting = deadline(1_000, never).catch((error: unknown) => error);
    const own = deadline(1_000, never, () => new RangeError('late')).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await waiting).toMatchObject({ message: 'no answer within 1000 ms' });
    expect(await own).toBeInstanceOf(RangeError);
  });
});
