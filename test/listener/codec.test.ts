import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { payloadCodec } from '../../src/codec/payload-codec.js';
import { payloadKeysFrom } from '../../src/codec/payload-keys.js';
import { key } from '../workflows/encrypted.js';
import { serveTask, type ServedTask } from './serve-task.js';

const UI = 'http://localhost:8233';
const KEYS = `${key('k2')},${key('k1')}`;
const serve = (keys = KEYS) =>
  serveTask({ env: { CODEX_TASK_PAYLOAD_KEY: keys, CODEX_TASK_CODEC_ORIGINS: UI } });

/** A payload in the JSON of protobuf. */
const json = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
  ),
  ...(data?.length && { data: Buffer.from(data).toString('base64') }),
});
const plain = (value: unknown) => json(defaultPayloadConverter.toPayload(value));
const encrypted = async (keys: string, value: unknown) =>
  json(
    (
      await payloadCodec(payloadKeysFrom(keys), 'pass').encode([defaultPayloadConverter.toPayload(value)])
    )[0]!,
  );

const ask = async (task: ServedTask, route: string, body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(`${task.origin}/codec/${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${task.operator}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { response, status: response.status, body: (await response.json()) as Record<string, unknown> };
};

describe('the codec server', () => {
  test('decodes what any of its keys opens, and leaves the rest as it is', async () => {
    const task = await serve();
    const foreign = await encrypted(key('k3'), 'text');
    const payloads = [
      await encrypted(key('k1'), { a: 'text €' }),
      await encrypted(key('k2'), undefined),
      plain(null),
      foreign,
    ];
    const { status, body, response } = await ask(task, 'decode', { payloads }, { 'x-namespace': 'n' });
    expect(status).toBe(200);
    expect(body).toEqual({ payloads: [plain({ a: 'text €' }), plain(undefined), plain(null), foreign] });
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  test('encodes with the first key, or leaves payloads plain without a key that writes', async () => {
    const task = await serve();
    const payloads = [plain('text'), plain(undefined)];
    const { body } = await ask(task, 'encode', { payloads });
    const [first] = body['payloads'] as [{ metadata: Record<string, string> }];
    expect(Buffer.from(first.metadata['encryption-key-id']!, 'base64').toString()).toBe('k2');
    expect((await ask(task, 'decode', body)).body).toEqual({ payloads });
    for (const keys of ['', `plain,${key('k1')}`])
      expect((await ask(await serve(keys), 'encode', { payloads })).body).toEqual({ payloads });
    expect((await ask(task, 'encode', {})).body).toEqual({ payloads: [] });
  });

  test('is for operators only, whatever the request', async () => {
    const task = await serve();
    for (const authorization of ['', task.auth.authorization, `Bearer ${task.password}`])
      for (const route of ['decode', 'encode', 'other'])
        expect(await ask(task, route, '[', { authorization })).toMatchObject({
          status: 401,
          body: { ok: false },
        });
    expect((await ask(task, 'other', {})).status).toBe(404);
  });

  test.each([
    ['no JSON', '[', 'bad-json'],
    ['a list', [], 'bad-json'],
    ['payloads that are none', { payloads: 7 }, 'bad-payloads'],
    ['a payload that is none', { payloads: ['text'] }, 'bad-payloads'],
    ['data that is not base64', { payloads: [{ data: '€' }] }, 'bad-payloads'],
    ['data of another type', { payloads: [{ data: 7 }] }, 'bad-payloads'],
    [
      'metadata that is not base64',
      { payloads: [{ metadata: { encoding: 'json/plain!' } }] },
      'bad-payloads',
    ],
    ['metadata of another type', { payloads: [{ metadata: [1] }] }, 'bad-payloads'],
  ])('refuses %s', async (_what, body, reason) => {
    expect(await ask(await serve(), 'decode', body)).toMatchObject({ status: 400, body: { reason } });
  });

  test('refuses a body over 8 MiB', async () => {
    const body = { payloads: [{ data: 'A'.repeat(9_000_000) }] };
    expect(await ask(await serve(), 'decode', body)).toMatchObject({
      status: 413,
      body: { reason: 'too-large' },
    });
  });
});

describe('the Temporal UI', () => {
  test('may call the codec server from a browser, and no other route', async () => {
    const task = await serve();
    const preflight = (path: string) =>
      fetch(`${task.origin}${path}`, {
        method: 'OPTIONS',
        headers: { origin: UI, 'access-control-request-method': 'POST' },
      });
    const { status, headers } = await preflight('/codec/decode');
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe(UI);
    expect(headers.get('access-control-allow-headers')).toBe(
      'Authorization, Authorization-Extras, Content-Type, X-Namespace',
    );
    expect((await preflight('/tasks/t1/send')).headers.get('access-control-allow-origin')).toBeNull();
    const asked = { origin: UI, 'sec-fetch-site': 'cross-site' };
    const { response } = await ask(task, 'decode', {}, asked);
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-origin')).toBe(UI);
    const sent = await fetch(`${task.url}/send`, { method: 'POST', headers: { ...task.auth, ...asked } });
    expect(sent.status).toBe(403);
    expect((await ask(task, 'decode', {}, { ...asked, origin: 'http://other.example' })).status).toBe(403);
  });
});
