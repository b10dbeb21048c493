import { fileURLToPath } from 'node:url';
import { defaultPayloadConverter, type DataConverter, type LoadedDataConverter } from '@temporalio/common';
import type { KeyList } from './key-list.js';
import { failuresOf } from './failure-converter.js';
import { payloadCodec, type OnUnreadable } from './payload-codec.js';
import { payloadKeysFrom } from './payload-keys.js';

/** Of a client: what it cannot read is a `BadInput` that names the key. */
export const clientConverter = (keys: KeyList): LoadedDataConverter => ({
  payloadConverter: defaultPayloadConverter,
  failureConverter: failuresOf(keys.writes !== null),
  payloadCodecs: [payloadCodec(keys, 'refuse')],
});

/** Of a worker. One of workflows passes on what it cannot read: `payload-converter.ts` takes it from there. */
export const workerConverter = (keys: KeyList, onUnreadable: OnUnreadable): DataConverter => ({
  payloadCodecs: [payloadCodec(keys, onUnreadable)],
  ...(keys.writes !== null && { failureConverterPath: FAILURE_CONVERTER }),
});

const FAILURE_CONVERTER = fileURLToPath(new URL('./failure-converter.js', import.meta.url));

/**
 * What a Client or Worker of the caller's own takes to speak with workers that have this `CODEX_TASK_PAYLOAD_KEY`.
 * @throws TaskError `BadInput` when it is no list of keys
 */
export const payloadDataConverter = (payloadKey: string): DataConverter =>
  workerConverter(payloadKeysFrom(payloadKey), 'refuse');
