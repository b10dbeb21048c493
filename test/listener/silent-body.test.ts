import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import Koa from 'koa';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { listen } from '../../src/listener/listen.js';
import { until } from '../support/until.js';
import { serveLiveTask, type ServedTask } from './serve-task.js';

afterEach(() => void vi.useRealTimers());

const SILENT_MS = 60_000;
const HEAD = '--XX\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n';
const TAIL = '\r\n--XX--\r\n';

/** A request whose body is written piece by piece, with a clock that the test moves. */
async function post(task: ServedTask, route: string, type: string, bytes: number) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  const { hostname, port, pathname } = new URL(task.url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  let answer = '';
  socket.on('data', (data: Buffer) => (answer += data.toString())).on('error', () => undefined);
  socket.write(
    `POST ${pathname}/${route} HTTP/1.1\r\nHost: x\r\nAuthorization: ${task.auth.authorization}\r\n` +
      `Content-Type: ${type}\r\nContent-Length: ${bytes}\r\n\r\n`,
  );
  const answered = () => until('the answer', () => (answer.includes('}') ? answer : null));
  return { socket, answered, soFar: () => answer };
}

const upload = (task: ServedTask, bytes: number) =>
  post(task, 'upload', 'multipart/form-data; boundary=XX', HEAD.length + bytes + TAIL.length);

/** What has arrived of an upload. */
async function arrived(task: ServedTask, bytes: number): Promise<void> {
  const folder = join(task.folder.work, 'uploads');
  await until(`${bytes} bytes`, async () => {
    const [name] = existsSync(folder) ? await readdir(folder) : [];
    return name !== undefined && (await readFile(join(folder, name))).length >= bytes;
  });
}

describe('a body that comes slowly', () => {
  test('is accepted however long it takes, while bytes arrive', async () => {
    const task = await serveLiveTask();
    const { socket, answered } = await upload(task, 20_000);
    socket.write(HEAD);
    for (let sent = 1; sent <= 20; sent++) {
      socket.write(Buffer.alloc(1_000));
      // The last bytes are held back: they may begin a boundary.
      await arrived(task, sent * 1_000 - 100);
      vi.advanceTimersByTime(SILENT_MS - 1_000);
    }
    socket.write(TAIL);
    expect(await answered()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('is 408 when no byte arrives for a minute, and leaves nothing', async () => {
    const task = await serveLiveTask();
    const { socket, answered, soFar } = await upload(task, 20_000);
    socket.write(HEAD);
    socket.write(Buffer.alloc(10_000));
    await arrived(task, 9_900);
    vi.advanceTimersByTime(SILENT_MS - 1);
    expect(soFar()).toBe('');
    vi.advanceTimersByTime(1);
    const answer = await answered();
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toMatch(/\{"ok":false,"reason":"timeout"\}/);
    expect(await readdir(join(task.folder.work, 'uploads'))).toEqual([]);
  });

  test('is 408 as JSON too', async () => {
    const task = await serveLiveTask();
    const { socket, answered } = await post(task, 'send', 'application/json', 1_000);
    socket.write('{"text":');
    await until('the route reads', () => vi.getTimerCount() > 0);
    // What came in the first of them counts.
    vi.advanceTimersByTime(2 * SILENT_MS);
    expect(await answered()).toMatch(/^HTTP\/1\.1 408 .*"reason":"timeout"/s);
  });
});

test('Node sets no limit of its own on the time of a whole request', async () => {
  const listening = await listen(new Koa(), { host: '127.0.0.1', port: 0 });
  expect(listening.server.requestTimeout).toBe(0);
  expect(listening.server.headersTimeout).toBeGreaterThan(0);
  await listening.close();
});
