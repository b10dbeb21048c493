import { BODIES } from './hostile-bodies.js';
import { choices, one, type Choices, type Made } from './raw-request.js';
import type { ServedTask } from './serve-task.js';

/** What a client does on one connection. */
export interface Hostile {
  readonly kind: string;
  /** Written one after the other, each once the one before is taken. */
  readonly writes: readonly Buffer[];
  /** How many requests are whole, so that each must be answered, unless the connection ends with an earlier answer. */
  readonly whole: number;
  /** Ends its side after that. */
  readonly halfCloses: boolean;
}

type Random = () => number;

/** A client of one kind, and of a shape that `random` chooses. */
export function hostileClient(random: Random, task: ServedTask): Hostile {
  const kinds = Object.entries(KINDS);
  const [kind, make] = kinds[Math.floor(random() * kinds.length)]!;
  const halfCloses = random() < 0.3;
  const { writes, whole } = make({ ...choices(random), task });
  return { kind, writes, whole, halfCloses };
}

export const hostileKinds = (): string[] => Object.keys(KINDS);

/** Each says how many whole requests it writes; 0: nobody need answer. */
const KINDS: Record<string, (the: Choices) => Made> = {
  'duplicate headers': (the) =>
    one(the, {
      headers: [
        the.pick(
          'Content-Length: 2\r\nContent-Length: 2',
          'Content-Length: 2\r\nContent-Length: 3',
          'Content-Length: 2, 2',
          'Content-Length: +2',
          'Content-Length: 0x2',
          'Content-Length: -1',
          'Content-Length: 2\r\nHost: y',
          'Content-Length: 2\r\nAuthorization: Basic eA==',
          'Content-Length: 2\r\nContent-Encoding: identity\r\nContent-Encoding: gzip',
          'Content-Length: 2\r\nOrigin: null\r\nOrigin: http://127.0.0.1',
        ),
      ],
      body: Buffer.from('{}'),
    }),
  'conflicting framing': (the) =>
    one(the, {
      headers: [
        the.pick(
          'Content-Length: 5\r\nTransfer-Encoding: chunked',
          'Transfer-Encoding: chunked\r\nContent-Length: 5',
          'Transfer-Encoding: chunked, chunked',
          'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
          'Transfer-Encoding: xchunked',
          'Transfer-Encoding : chunked',
          'Transfer-Encoding:\tchunked',
          'Transfer-Encoding: gzip, chunked',
          'transfer-encoding: CHUNKED',
        ),
      ],
      body: Buffer.from('2\r\n{}\r\n0\r\n\r\n'),
      whole: 0,
    }),
  'huge headers': (the) =>
    one(the, {
      headers: the.pick(
        [`X: ${'x'.repeat(20_000)}`],
        Array.from({ length: 3_000 }, (_, i) => `X${i}: y`),
        [`${'X'.repeat(20_000)}: y`],
        [`Last-Event-ID: ${'9'.repeat(8_000)}`],
        [`Range: bytes=${'0-1,'.repeat(2_000)}`],
        [`Cookie: ${'a=b; '.repeat(2_000)}`],
      ),
    }),
  'broken headers': (the) =>
    one(the, {
      headers: [
        the.pick(
          'X: a\r\n b',
          'X: a\r\n\tb',
          'X a',
          ' X: a',
          ': a',
          'X\0: a',
          'X: a\0b',
          'X: a\rb',
          'X: a\nY: b',
          `X: ${the.bytes(40).toString('latin1').replaceAll('\r', '')}`,
          'Expect: 100-continue',
          'Expect: something',
          'Connection: close, upgrade\r\nUpgrade: websocket',
          'Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
          'Trailer: Content-Length',
        ),
      ],
    }),
  'host and origin': (the) =>
    one(the, {
      host: the.pick(
        '',
        'x:y',
        '[::1',
        'x@y',
        'x/y',
        'x y',
        '127.0.0.1:99999',
        '0x7f.1',
        '127.1',
        'ｅvil',
        'a'.repeat(9_000),
        'evil.example',
        'xn--',
        null,
      ),
      headers: [
        `Origin: ${the.pick('null', 'http://', 'file://', 'http://x', 'http://x:1', ' ', '*', 'http://x\\@y', 'a'.repeat(5_000))}`,
        `Sec-Fetch-Site: ${the.pick('cross-site', 'CROSS-SITE', 'none', 'same-origin', '')}`,
      ],
    }),
  versions: (the) =>
    one(the, {
      version: the.pick(
        'HTTP/1.0',
        'HTTP/0.9',
        'HTTP/1.2',
        'HTTP/2.0',
        'http/1.1',
        'HTTP/1.1 ',
        '',
        'HTTP/1.1\0',
      ),
      host: the.pick('x', null),
      whole: 0,
    }),
  targets: (the) =>
    one(the, {
      target: the.pick(
        '/tasks/t1/%',
        '/tasks/%00/events',
        '/tasks/t1/../t1/send',
        '//tasks/t1/events',
        '/tasks//events',
        '/tasks/t1/download?path=%',
        '/tasks/t1/download?path=a&path=b',
        '/tasks/t1/download?path[__proto__]=a',
        '/tasks/__proto__/events',
        '/tasks/constructor/send',
        'http://[::1/tasks',
        'http://evil.example/tasks/t1/events',
        '*',
        'x:443',
        `/${'a/'.repeat(4_000)}`,
        `/tasks/${'%C0%AF'.repeat(200)}/send`,
        '/tasks/t1/send;x=y?#',
        '/metrics',
        '/codec/decode',
      ),
      method: the.pick('GET', 'POST', 'HEAD', 'OPTIONS', 'CONNECT', 'TRACE', 'QUERY'),
      whole: 0,
    }),
  ...BODIES,
  chunks(the) {
    const [whole, body] = the.pick<[0 | 1, string]>(
      [1, '2\r\n{}\r\n0\r\n\r\n'],
      [1, '2;a=b;c="d"\r\n{}\r\n0\r\n\r\n'],
      [1, '0002\r\n{}\r\n0\r\nX-Trailer: y\r\n\r\n'],
      [1, '0\r\n\r\n'],
      [0, '2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n'],
      [0, `2;${'x'.repeat(40_000)}\r\n{}\r\n0\r\n\r\n`],
      [0, 'FFFFFFFFFFFFFFFFF\r\n{}'],
      [0, '-2\r\n{}\r\n0\r\n\r\n'],
      [0, '0x2\r\n{}\r\n0\r\n\r\n'],
      [0, '2\n{}\n0\n\n'],
      [0, '2\r\n{}0\r\n\r\n'],
      [0, '5\r\n{}\r\n0\r\n\r\n'],
      [0, 'zz\r\n'],
    );
    return one(the, { headers: ['Transfer-Encoding: chunked'], body: Buffer.from(body), whole });
  },
  'slow pieces'(the) {
    const { writes, whole } = one(the, { body: Buffer.from(JSON.stringify({ text: 'x'.repeat(20) })) });
    const all = Buffer.concat(writes);
    const pieces: Buffer[] = [];
    for (let at = 0; at < all.length;) {
      const end = at + 1 + the.number(40);
      pieces.push(all.subarray(at, end));
      at = end;
    }
    return { writes: pieces, whole };
  },
  'cut off'(the) {
    const { writes } = one(the, { body: Buffer.from(JSON.stringify({ text: 'x'.repeat(200) })) });
    const all = Buffer.concat(writes);
    return { writes: [all.subarray(0, the.number(all.length))], whole: 0 };
  },
  pipelines(the) {
    const each = Array.from({ length: 2 + the.number(8) }, () => one(the, { keeps: true }));
    const last = one(the, {});
    const writes = [Buffer.concat([...each, last].flatMap((made) => made.writes))];
    return { writes, whole: each.length + 1 };
  },
  multipart(the) {
    const disposition = the.pick(
      'form-data; name="file"; filename="a"',
      'form-data; name="file"; filename="../../a"',
      `form-data; name="file"; filename="${'a'.repeat(5_000)}"`,
      'form-data; name="file"; filename*=utf-8\'\'%C0%AF',
      'form-data; name="file"; filename*=utf-8\'\'%2e%2e%2fa',
      'form-data; name="file"; filename=".."',
      'form-data; name="file"; filename="\0"',
      'form-data; name="file"; filename="\\"; x="',
      'form-data; name="__proto__"; filename="a"',
      'form-data',
      'x'.repeat(20_000),
    );
    const parts = Array.from({ length: 1 + the.number(3) }, () =>
      Buffer.concat([
        Buffer.from(`--b\r\nContent-Disposition: ${disposition}\r\n\r\n`),
        the.bytes(300),
        CRLF,
      ]),
    );
    const body = Buffer.concat([
      ...parts,
      Buffer.from(the.pick('--b--\r\n', '--b--', '--b', '', '--b\r\n\r\n')),
    ]);
    const headers = [
      `Content-Type: multipart/form-data; boundary=${the.pick('b', '"b"', '', 'c', 'b'.repeat(80))}`,
    ];
    return one(the, { target: '/tasks/t1/upload', headers, body });
  },
};

const CRLF = Buffer.from('\r\n');
