import { ApplicationFailure, defaultPayloadConverter, type ProtoFailure } from '@temporalio/common';
import {
  decodeOptionalFailureToOptionalError,
  encodeFailure,
} from '@temporalio/common/lib/internal-non-workflow/index.js';
import { describe, expect, test } from 'vitest';
import { failuresOf } from '../../src/codec/failure-converter.js';
import { payloadCodec } from '../../src/codec/payload-codec.js';
import { payloadConverter } from '../../src/codec/payload-converter.js';
import { payloadKeysFrom } from '../../src/codec/payload-keys.js';
import { key } from '../workflows/encrypted.js';

const encoding = failuresOf(true);
const codec = payloadCodec(payloadKeysFrom(key('k1')), 'pass');

const failed = () =>
  ApplicationFailure.create({
    message: 'message-secret',
    type: 'BadInput',
    details: ['detail-secret'],
    cause: new Error('cause-secret'),
  });
const onTheWire = (error: unknown) =>
  encodeFailure([codec], encoding.errorToFailure(error, defaultPayloadConverter));
const read = (failure: ProtoFailure, keys: string) =>
  decodeOptionalFailureToOptionalError(
    {
      payloadConverter,
      failureConverter: failuresOf(false),
      payloadCodecs: [payloadCodec(payloadKeysFrom(keys), 'pass')],
    },
    failure,
  );

describe('a failure', () => {
  test('shows only its type to Temporal, and decodes whole with its causes', async () => {
    const failure = await onTheWire(failed());
    expect(JSON.stringify(failure)).not.toContain('-secret');
    expect(JSON.stringify(failure)).not.toContain('failure-converter.test');
    expect(failure).toMatchObject({
      message: 'Encoded failure',
      applicationFailureInfo: { type: 'BadInput' },
    });
    const back = await read(failure, key('k1'));
    expect(back).toMatchObject({
      message: 'message-secret',
      type: 'BadInput',
      details: ['detail-secret'],
      cause: { message: 'cause-secret' },
    });
    expect(back?.stack).toContain('failure-converter.test');
  });

  test('encodes the same failure alike for two failures, and after decoding', async () => {
    const error = failed();
    const both = [await onTheWire(error), await onTheWire(error)];
    const again = await onTheWire(await read(both[0]!, key('k1')));
    expect(JSON.stringify(again)).not.toContain('-secret');
    for (const failure of [...both, again])
      expect(await read(failure, key('k1'))).toMatchObject({
        message: 'message-secret',
        cause: { message: 'cause-secret' },
      });
  });

  test('explains a failure that cannot be decoded', async () => {
    const back = await read(await onTheWire(failed()), key('k2'));
    const why = 'it is encrypted with the key "k1", which CODEX_TASK_PAYLOAD_KEY does not open';
    expect(back).toMatchObject({ message: `Encoded failure (${why})`, details: [{ why }], type: 'BadInput' });
  });

  test('stores a failure in plain text without a key', () => {
    const failure = failuresOf(false).errorToFailure(failed(), defaultPayloadConverter);
    expect(failure).toMatchObject({ message: 'message-secret', cause: { message: 'cause-secret' } });
    expect(failure.encodedAttributes).toBeUndefined();
  });
});
