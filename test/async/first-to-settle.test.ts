import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { untilAborted } from '../../src/async/abort.js';
import { firstToSettle } from '../../src/async/first-to-settle.js';

it('settles as the first act does and aborts the others', async () => {
  const ended: string[] = [];
  const other = (name: string) => async (signal: AbortSignal) => {
    await untilAborted(signal);
    ended.push(name);
    // The run fails for a rejection that nobody handles.
    throw new Error(name);
  };
  expect(await firstToSettle([other('a'), () => Promise.resolve('done'), other('b')])).toBe('done');
  expect(ended).toEqual(['a', 'b']);
  await expect(firstToSettle([other('c'), () => Promise.reject(new Error('broken'))])).rejects.toThrow(
    'broken',
  );
});

it('aborts the others when one throws at once', async () => {
  let isEnded = false;
  const other = async (signal: AbortSignal) => {
    await untilAborted(signal);
    isEnded = true;
    // The run fails for a rejection that nobody handles.
    throw new Error('ended');
  };
  const broken = () => {
    throw new Error('at once');
  };
  await expect(firstToSettle([other, broken])).rejects.toThrow('at once');
  expect(isEnded).toBe(true);
});

it('passes an abort and its reason to each act, and leaves no listener', async () => {
  const over = new AbortController();
  const act = async (signal: AbortSignal) => {
    await untilAborted(signal);
    throw signal.reason;
  };
  const running = firstToSettle([act, act], over.signal);
  over.abort(new Error('enough'));
  await expect(running).rejects.toThrow('enough');
  await expect(firstToSettle([act], over.signal)).rejects.toThrow('enough');
  const { signal } = new AbortController();
  await firstToSettle([() => Promise.resolve()], signal);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
