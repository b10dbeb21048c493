import { createDecipheriv } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import proto from '@temporalio/proto';
import { describe, expect, test } from 'vitest';
import { payloadCodec } from '../../src/codec/payload-codec.js';
import { payloadKeysFrom } from '../../src/codec/payload-keys.js';
import { key } from '../workflows/encrypted.js';

const codec = (text: string, onUnreadable: 'pass' | 'refuse' = 'refuse') =>
  payloadCodec(payloadKeysFrom(text), onUnreadable);
const payloadOf = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const valueOf = (payload: Payload): unknown => defaultPayloadConverter.fromPayload(payload);
const encrypt = async (keys: string, value: unknown): Promise<Payload> =>
  (await codec(keys).encode([payloadOf(value)]))[0]!;
const keyIdOf = ({ metadata }: Payload) => Buffer.from(metadata!['encryption-key-id']!).toString();

describe('a payload', () => {
  test.each([[{ a: 'text €' }], ['text'], [null], [undefined], [Buffer.from([0, 255])], [[]]])(
    'decodes to what was encoded: %j',
    async (value) => {
      const encrypted = await encrypt(key('k1'), value);
      expect(Buffer.from(encrypted.metadata!['encoding']!).toString()).toBe('binary/encrypted');
      const [opened] = await codec(key('k1')).decode([encrypted]);
      const read = valueOf(opened!);
      if (value instanceof Uint8Array) expect(Buffer.from(read as Uint8Array)).toEqual(value);
      else expect(read).toEqual(value);
    },
  );

  test('is encrypted like the samples of Temporal’s SDKs', async () => {
    const { data, metadata } = await encrypt(key('k1'), 'secret');
    expect(Object.keys(metadata!).sort()).toEqual(['encoding', 'encryption-key-id']);
    const bytes = Buffer.from(data!);
    const raw = Buffer.from(key('k1').slice(3), 'base64');
    const decipher = createDecipheriv('aes-256-gcm', raw, bytes.subarray(0, 12));
    decipher.setAuthTag(bytes.subarray(-16));
    const plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    expect(valueOf(proto.temporal.api.common.v1.Payload.decode(plain))).toBe('secret');
  });

  test('is encrypted with a new nonce each time, and holds nothing readable', async () => {
    const [a, b] = await codec(key('k1')).encode([payloadOf('secret'), payloadOf('secret')]);
    expect(Buffer.from(a!.data!).equals(Buffer.from(b!.data!))).toBe(false);
    expect(Buffer.from(a!.data!).includes('secret')).toBe(false);
    expect(Buffer.from(a!.data!).includes('json/plain')).toBe(false);
  });

  test('passes on a payload that is already encrypted', async () => {
    const encrypted = await encrypt(key('k1'), 'secret');
    expect(await codec(key('k2')).encode([encrypted])).toEqual([encrypted]);
  });
});

describe('a list of keys', () => {
  test('encrypts with the first key and decrypts with all, so that keys can rotate', async () => {
    const old = await encrypt(key('k1'), 'old');
    const rotated = codec(`${key('k2')}, ${key('k1')}`);
    const [fresh] = await rotated.encode([payloadOf('new')]);
    expect(keyIdOf(fresh!)).toBe('k2');
    expect((await rotated.decode([old, fresh!, payloadOf('plain')])).map(valueOf)).toEqual([
      'old',
      'new',
      'plain',
    ]);
  });

  test('decrypts only, when plain is first in the list, so that a key can come and go', async () => {
    const introducing = codec(`plain,${key('k1')}`);
    const payload = payloadOf('text');
    expect(await introducing.encode([payload])).toEqual([payload]);
    expect((await introducing.decode([await encrypt(key('k1'), 'secret')])).map(valueOf)).toEqual(['secret']);
  });

  test.each([
    ['another key of the same name', key('k1', 'other')],
    ['no such key', key('k2')],
    ['no key', ''],
  ])('passes on what it cannot open, or names the missing key, with %s', async (_what, keys) => {
    const encrypted = await encrypt(key('k1'), 'secret');
    expect(await codec(keys, 'pass').decode([encrypted])).toEqual([encrypted]);
    await expect(codec(keys).decode([encrypted])).rejects.toMatchObject({
      code: 'BadInput',
      message:
        'A payload cannot be read: it is encrypted with the key "k1", which CODEX_TASK_PAYLOAD_KEY does not open',
    });
  });

  test('does not open a payload of which a byte was changed or cut', async () => {
    const { data, metadata } = await encrypt(key('k1'), 'secret');
    const bytes = Buffer.from(data!);
    const changed = [0, 12, bytes.length - 1].map((at) => {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 1;
      return copy;
    });
    for (const wrong of [...changed, bytes.subarray(1), bytes.subarray(0, 27), Buffer.alloc(0)])
      expect(await codec(key('k1'), 'pass').decode([{ data: wrong, metadata: metadata! }])).toEqual([
        { data: wrong, metadata },
      ]);
  });
});

describe('the setting', () => {
  const bytes = key('k1').slice(3);

  test.each([
    ['without a name', bytes],
    ['with a name that is none', `a b:${bytes}`],
    ['of 31 bytes', `k1:${Buffer.alloc(31, 1).toString('base64')}`],
    ['with the same name twice', `${key('k1')},${key('k1', 'other')}`],
    ['with nothing between two commas', `${key('k1')},,${key('k2')}`],
    ['with text', `k1:${bytes}secret`],
  ])('refuses the setting %s without repeating it', (_what, text) => {
    expect(() => payloadKeysFrom(text)).toThrow(/^CODEX_TASK_PAYLOAD_KEY: expected keys of 32 bytes/);
    const refused = (() => {
      try {
        payloadKeysFrom(text);
      } catch (error) {
        return String(error);
      }
    })();
    expect(refused).not.toContain(text.slice(-20));
  });
});
