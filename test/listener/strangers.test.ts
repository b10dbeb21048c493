import { connect, type Socket } from 'node:net';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { boundConnections, welcome } from '../../src/listener/strangers.js';
import { post, serveLiveTask, type ServedTask } from './serve-task.js';
import { request } from 'node:http';

function raw(port: number): { socket: Socket; said: () => string; closed: Promise<unknown> } {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (data) => (said += data.toString('latin1'))).on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return { socket, said: () => said, closed: new Promise((resolve) => socket.once('close', resolve)) };
}
const portOf = (task: ServedTask): number => Number(new URL(task.origin).port);

/** With the given headers as they are, Host too. */
function ask(
  task: ServedTask,
  method: string,
  path: string,
  headers: Record<string, string>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${task.origin}${path}`,
      { method, headers: { ...task.auth, ...headers } },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    call.on('error', reject).end(method === 'POST' ? '{"text":"x"}' : undefined);
  });
}

describe('a page of another site', () => {
  test.each([
    { origin: 'https://evil.example', 'content-type': 'text/plain', 'sec-fetch-site': 'cross-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { origin: 'http://127.0.0.1:1' },
  ])('is refused even with the right password: %j', async (headers) => {
    const task = await serveLiveTask({ corsOrigins: 'https://listed.example' });
    task.session.open.add('1-0');
    for (const [route, body] of [
      ['send', { text: 'x' }],
      ['permission', { request_id: '1-0', behavior: 'allow' }],
      ['interrupt', undefined],
    ] as const)
      expect(await post(task, route, body, headers)).toMatchObject({
        status: 403,
        body: { ok: false, reason: 'cross-origin' },
      });
    expect([task.session.messages, task.decisions, task.session.interrupts]).toEqual([[], [], 0]);
  });

  test('is served when listed, as are the listener’s own pages and other clients', async () => {
    const task = await serveLiveTask({ corsOrigins: 'https://listed.example' });
    for (const headers of [
      { origin: 'https://listed.example', 'sec-fetch-site': 'cross-site' },
      { origin: task.origin, 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
      {},
    ] as Record<string, string>[])
      expect(await post(task, 'send', { text: 'x' }, headers)).toMatchObject({ status: 200 });
  });

  test('reaches only health and readiness by a host name of its own', async () => {
    const task = await serveLiveTask();
    for (const host of ['evil.example', 'evil.example:80', '10.0.0.9', '127.0.0.1.evil.example', '@'])
      expect(await ask(task, 'GET', '/tasks/t1/events', { host }), host).toBe(421);
    expect(await ask(task, 'POST', '/tasks/t1/send', { host: 'evil.example' })).toBe(421);
    for (const path of ['/health', '/ready'])
      expect(await ask(task, 'GET', path, { host: 'evil.example' })).toBe(200);
    for (const host of [
      'localhost',
      'LOCALHOST:9',
      'a.localhost',
      '127.0.0.2:1',
      '[::1]:8787',
      'worker:8787',
    ])
      expect(await ask(task, 'POST', '/tasks/t1/send', { host }), host).toBe(200);
  });
});

describe('a client without a credential', () => {
  test('shares part of the connections, and its oldest is closed for the next one', async () => {
    const server = createServer((incoming, answer) => {
      welcome(incoming.socket);
      answer.end('ok');
    });
    boundConnections(server, 80);
    expect(server.maxConnections).toBe(8);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as { port: number };
    const friend = raw(port);
    friend.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(friend.said).toContain('ok');
    const silent = Array.from({ length: 30 }, () => raw(port));
    await Promise.all(silent.slice(0, 20).map(({ closed }) => closed));
    friend.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(() => friend.said().split('200 OK').length).toBe(3);
  });

  test('is read only up to a bound after the refusal', { timeout: 60_000 }, async () => {
    const task = await serveLiveTask();
    const { socket, said, closed } = raw(portOf(task));
    socket.write('POST /tasks/t1/send HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n');
    const block = Buffer.alloc(1 << 20);
    const feed = () => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on('drain', feed);
    feed();
    await closed;
    expect(said()).toMatch(/^HTTP\/1.1 401 /);
    expect(socket.bytesWritten).toBeLessThan(64 * 1024 * 1024);
  });
});

test('a connection stays open after a compressed body that is too large', async () => {
  const task = await serveLiveTask();
  const body = gzipSync(randomBytes(12_000_000), { level: 1 });
  const { socket, said } = raw(portOf(task));
  const { authorization } = task.auth;
  socket.write(
    `POST /tasks/t1/send HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  socket.write(body);
  socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
  await expect.poll(said, { timeout: 5_000 }).toContain('hostId');
  expect(said()).toMatch(/^HTTP\/1.1 413 /);
});

test('the listener reads only the documented encodings, ignoring case', async () => {
  const task = await serveLiveTask();
  const send = async (encoding: string) =>
    (
      await fetch(`${task.url}/send`, {
        method: 'POST',
        headers: { ...task.auth, 'content-encoding': encoding },
        body: gzipSync('{"text":"x"}'),
      })
    ).status;
  for (const encoding of ['gzip', 'GZIP', 'x-gzip', 'X-Gzip']) expect(await send(encoding)).toBe(200);
  expect(await send('br')).toBe(415);
});

test('a stream above the limit of a task is served, and another one is closed', async () => {
  const task = await serveLiveTask({ streams: { most: 3 } });
  const opened = [];
  for (let i = 0; i < 5; i++) {
    const { socket, said, closed } = raw(portOf(task));
    socket.write(
      `GET /tasks/t1/events HTTP/1.1\r\nHost: x\r\nAuthorization: ${task.auth.authorization}\r\n\r\n`,
    );
    await expect.poll(said).toMatch(/^HTTP\/1.1 200 /);
    opened.push({ socket, closed });
  }
  await Promise.all(opened.slice(0, 2).map(({ closed }) => closed));
  expect(opened.map(({ socket }) => socket.destroyed)).toEqual([true, true, false, false, false]);
});

test('one request stores a bounded number of files and bytes', async () => {
  const task = await serveLiveTask({ limits: { uploadBytes: 1_000 } });
  const form = (count: number, bytes: number) => {
    const all = new FormData();
    for (let i = 0; i < count; i++) all.append('file', new Blob(['x'.repeat(bytes)]), `${bytes}-${i}`);
    return all;
  };
  const stored = async () => (await readdir(join(task.folder.work, 'uploads'))).length;
  expect(await post(task, 'upload', form(101, 1))).toMatchObject({
    status: 413,
    body: { reason: 'too-large' },
  });
  expect(await stored()).toBe(100);
  expect(await post(task, 'upload', form(11, 1_000))).toMatchObject({ status: 413 });
  expect(await stored()).toBe(110);
});
