import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { onceLate, timeLimit } from '../src/time-limit.js';
import { standStill } from './support/stand-still.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => {
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });

it('aborts in time, also when the garbage collector came before', async () => {
  const other = new AbortController();
  const all = Array.from({ length: 20 }, () => aborted(timeLimit(50, other.signal)));
  collectGarbage();
  await expect(all[0]).resolves.toMatchObject({ name: 'TimeoutError', message: 'no end after 0.05 s' });
  for (const reason of await Promise.all(all)) expect(reason).toMatchObject({ name: 'TimeoutError' });
});

it('aborts when another does, with its reason', async () => {
  const other = new AbortController();
  const reason = aborted(timeLimit(60_000, other.signal));
  other.abort('enough');
  expect(await reason).toBe('enough');
});

describe('what is done once something is late', () => {
  it('is done in its time, and not when it was cancelled', async () => {
    const cancelled = vi.fn();
    onceLate(1, cancelled)();
    await new Promise<void>((resolve) => onceLate(20, resolve));
    expect(cancelled).not.toHaveBeenCalled();
  });

  it('is not done before this process has read what came while it stood still', async () => {
    const order: string[] = [];
    const [near, far] = await socketPair();
    near.once('data', () => order.push('read'));
    const late = new Promise<void>((resolve) => {
      onceLate(20, () => {
        order.push('late');
        resolve();
      });
    });
    far.write('here');
    standStill(300);
    await late;
    expect(order).toEqual(['read', 'late']);
  });
});

async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  const far = once(server, 'connection') as Promise<[Socket]>;
  await once(server, 'listening');
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [peer] = await far;
  onTestFinished(() => {
    near.destroy();
    peer.destroy();
    server.close();
  });
  return [near, peer];
}
