import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { one, type Choices, type Made } from './raw-request.js';

/** What a body may be, packed and plain. */
export const BODIES: Record<string, (the: Choices) => Made> = {
  encodings(the) {
    const plain = Buffer.from(JSON.stringify({ text: 'x', id: 'model', value: 'y' }));
    const [encoding, body] = the.pick<() => [string, Buffer]>(
      () => ['gzip', gzipSync(plain)],
      () => ['deflate', deflateSync(plain)],
      () => ['deflate', deflateRawSync(plain)],
      () => ['br', brotliCompressSync(plain)],
      () => ['zstd', plain],
      () => ['identity', plain],
      () => ['', plain],
      () => ['gzip, gzip', gzipSync(gzipSync(plain))],
      () => ['gzip, identity', gzipSync(plain)],
      () => ['gzip', gzipSync(plain).subarray(0, 10 + the.number(10))],
      () => ['gzip', Buffer.concat([gzipSync(plain), the.bytes(50)])],
      () => ['gzip', Buffer.concat([gzipSync(plain), gzipSync(plain)])],
      () => ['deflate', the.bytes(50)],
      () => ['gzip', the.bytes(50)],
      () => ['gzip', Buffer.alloc(0)],
      () => ['gzip', BOMBS.gzip],
      () => ['deflate', BOMBS.deflate],
      () => ['gzip', BOMBS.nested],
    )();
    return one(the, { headers: [`Content-Encoding: ${encoding}`], body });
  },
  'odd bodies'(the) {
    const deep = (open: string, close: string) => `${open.repeat(100_000)}1${close.repeat(100_000)}`;
    const text = the.pick<() => string | Buffer>(
      () => deep('[', ']'),
      () => `{"text":${deep('{"a":', '}')}}`,
      () => `{"request_id":"r","behavior":"allow","updated_input":${deep('{"a":', '}')}}`,
      () => `{"id":"model","value":${deep('[', ']')}}`,
      () => '['.repeat(1_000_000),
      () => `{"text":"x","messageId":${'9'.repeat(100_000)}}`,
      () => '{"request_id":1e400,"behavior":"allow"}',
      () => '{"request_id":-0.0000000000000000000000001,"behavior":"deny"}',
      () => '{"__proto__":{"text":"x"},"constructor":{"prototype":{"a":1}}}',
      () => '{"request_id":"__proto__","behavior":"allow","updated_input":{"__proto__":{"a":1}}}',
      () => '{"id":"__proto__","value":"x"}',
      () => '{"text":"x","text":"y","messageId":"constructor"}',
      () => '{"text":"\\ud800","messageId":"\\udfff\\u0000"}',
      () =>
        Buffer.concat([Buffer.from('{"text":"'), Buffer.from([0xff, 0xfe, 0xc0, 0xaf]), Buffer.from('"}')]),
      () => Buffer.from('\ufeff{"text":"x"}', 'utf16le'),
      () => '\ufeff{"text":"x"}',
      () => `{"text":"x","images":${JSON.stringify(Array.from({ length: 101 }, () => ({ path: '..' })))}}`,
      () => '{"text":"x","images":[{"path":"__proto__"},{"path":"\\u0000"}]}',
      () => `{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":${i}`).join(',')}}`,
      () => 'null',
      () => the.bytes(500),
    )();
    return one(the, { body: Buffer.from(text as string) });
  },
};

const BOMBS = bombs(Buffer.alloc(64 * 1024 * 1024, ' '));

function bombs(blanks: Buffer) {
  const gzip = gzipSync(blanks, { level: 1 });
  return { gzip, deflate: deflateSync(blanks, { level: 1 }), nested: gzipSync(gzip) };
}
