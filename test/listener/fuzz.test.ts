import { connect } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { onceLate } from '../../src/async/time-limit.js';
import { post, serveLiveTask, type ServedTask } from './serve-task.js';

const REQUESTS = 1_500;
const SEED = 20_260_101;
const ANSWER_MS = 10_000;

test('answers any request without a server error but 503, and keeps working', async () => {
  const task = await serveLiveTask({ limits: { uploadBytes: 2_000, downloadBytes: 2_000 } });
  await writeFile(join(task.folder.work, 'a.txt'), 'content');
  const rejections: unknown[] = [];
  const note = (reason: unknown) => rejections.push(reason);
  process.on('unhandledRejection', note);
  onTestFinished(() => void process.off('unhandledRejection', note));
  const random = randomOf(SEED);
  const statuses = new Map<number, number>();
  for (let i = 0; i < REQUESTS; i += 25) {
    const asked = Array.from({ length: 25 }, () => requestOf(random, task));
    for (const [at, status] of (await Promise.all(asked.map((each) => ask(task, each)))).entries()) {
      const isFault = status >= 500 && status !== 503;
      expect(isFault, asked[at]!.toString('latin1').slice(0, 500)).toBe(false);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  }
  expect(rejections).toEqual([]);
  // The requests get past the door and reach every kind of answer.
  for (const status of [200, 400, 401, 404, 405]) expect([...statuses.keys()]).toContain(status);
  expect((await post(task, 'send', { text: 'well' })).status).toBe(200);
  expect((await fetch(`${task.origin}/health`)).status).toBe(200);
});

type Random = (below: number) => number;

function requestOf(random: Random, task: ServedTask): Buffer {
  const pick = <T>(...choices: T[]): T => choices[random(choices.length)]!;
  const noise = (length: number) => Buffer.from(Array.from({ length: random(length) }, () => random(256)));
  const word = () =>
    noise(12)
      .toString('latin1')
      .replace(/[\r\n\0]/g, '');
  const route = pick(
    'events',
    'send',
    'interrupt',
    'model',
    'control',
    'permission',
    'upload',
    'download',
    word(),
  );
  const query = pick(
    '',
    '?path=a.txt',
    '?path=..',
    '?path=%00',
    '?path=%ff',
    '?path[]=a',
    `?path=${encodeURIComponent(word())}`,
    '?%',
  );
  const id = pick('t1', 't1', 't1', 't1', 't2', '%2e', '..', 'operator', encodeURIComponent(word()));
  const path = pick(
    `/tasks/${id}/${route}${query}`,
    `/tasks/${id}/${route}${query}`,
    `/${word()}`,
    '*',
    'http://x/tasks/t1/events',
  );
  const method = pick('GET', 'POST', 'POST', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PROPFIND', 'FETCH');
  const body = pick(
    () => Buffer.alloc(0),
    () => noise(300),
    () => Buffer.from(JSON.stringify(valueOf(random, 4))),
    () =>
      Buffer.from(
        JSON.stringify({
          text: valueOf(random, 2),
          messageId: valueOf(random, 1),
          images: valueOf(random, 3),
        }),
      ),
    () =>
      Buffer.from(
        JSON.stringify({
          request_id: valueOf(random, 2),
          behavior: pick<unknown>('allow', 'deny', 1),
          id: valueOf(random, 1),
          model: valueOf(random, 1),
        }),
      ),
    () =>
      Buffer.concat([
        Buffer.from(`--b\r\nContent-Disposition: form-data; name="file"; filename="${word()}"\r\n\r\n`),
        noise(4_000),
        Buffer.from(pick('\r\n--b--\r\n', '\r\n--b\r\n', '', '\r\n--b')),
      ]),
  )();
  const headers = [
    'Host: x',
    'Connection: close',
    pick(
      `Authorization: ${task.auth.authorization}`,
      `Authorization: ${task.auth.authorization}`,
      `Authorization: ${word()}`,
      'X: y',
    ),
    `Content-Type: ${pick('application/json', 'multipart/form-data; boundary=b', 'multipart/form-data; boundary=b', 'multipart/form-data', word())}`,
    `Last-Event-ID: ${pick('0', '-1', '9'.repeat(40), word())}`,
    `Range: ${pick('bytes=0-', 'bytes=-', `bytes=${word()}`, 'bytes=9-1', 'bytes=0-0,2-3')}`,
    `Origin: ${pick('https://a.example', 'null', word())}`,
    pick('Expect: 100-continue', 'Content-Encoding: gzip', 'Accept: */*', 'If-Range: x', 'X: y', 'X: z'),
    pick(
      `Content-Length: ${body.length}`,
      `Content-Length: ${body.length}`,
      `Content-Length: ${body.length + 5}`,
      'Transfer-Encoding: chunked',
    ),
  ];
  return Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1'),
    body,
  ]);
}

function valueOf(random: Random, depth: number): unknown {
  const kinds = depth > 0 ? 8 : 6;
  switch (random(kinds)) {
    case 0:
      return null;
    case 1:
      return random(1_000) - 500;
    case 2:
      return 'x'.repeat(random(200));
    case 3:
      return '\u{1F600}\ud800\0\u2028';
    case 4:
      return random(2) === 0;
    case 5:
      return '';
    case 6:
      return Array.from({ length: random(5) }, () => valueOf(random, depth - 1));
    default:
      return Object.fromEntries(
        ['text', '__proto__', 'path', 'id'].slice(random(4)).map((key) => [key, valueOf(random, depth - 1)]),
      );
  }
}

/** The status of the answer; 0 when there is none but the connection's end. */
function ask({ origin }: ServedTask, bytes: Buffer): Promise<number> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.end(bytes));
    let answer = '';
    const answered = onceLate(ANSWER_MS, () =>
      reject(new Error(`No answer: ${bytes.toString('latin1').slice(0, 500)}`)),
    );
    socket.on('data', (piece) => {
      answer += piece.toString('latin1');
      const status = /^HTTP\/1\.1 (?!100)(\d{3})/m.exec(answer)?.[1];
      if (!status) return;
      answered();
      socket.destroy();
      resolve(Number(status));
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      answered();
      resolve(0);
    });
  });
}

/** Always the same numbers for one seed (mulberry32). */
function randomOf(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}
