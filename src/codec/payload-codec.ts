import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { TaskError } from '../errors.js';
import type { KeyList } from './key-list.js';
import { ENCRYPTED, KEY_ID, whyUnreadable } from './unreadable.js';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What happens to a payload that none of the keys opens: it is passed on as it is, or is an error that says why. */
export type OnUnreadable = 'pass' | 'refuse';

/**
 * Encrypts each payload whole, its encoding included: AES-256-GCM, as nonce, ciphertext, tag, the id of the key next to
 * it. So do the samples of Temporal's SDKs, so a client in another language can use those. Plain payloads stay
 * readable.
 */
export function payloadCodec(keys: KeyList, onUnreadable: OnUnreadable): PayloadCodec {
  const byId = new Map(keys.reads.map(({ id, key }) => [id, key]));
  return {
    async encode(payloads) {
      const { writes } = keys;
      if (writes === null) return payloads;
      // One that nobody here could read is passed on as it came.
      return payloads.map((payload) => (isEncrypted(payload) ? payload : encrypted(payload, writes)));
    },
    async decode(payloads) {
      return payloads.map((payload) => {
        if (!isEncrypted(payload)) return payload;
        const keyId = text(payload, KEY_ID);
        const opened = decrypted(payload, byId.get(keyId));
        if (opened !== null) return opened;
        if (onUnreadable === 'pass') return payload;
        throw new TaskError('BadInput', `A payload cannot be read: ${whyUnreadable(ENCRYPTED, keyId)}`);
      });
    },
  };
}

const text = ({ metadata }: Payload, name: string): string => Buffer.from(metadata?.[name] ?? []).toString();

const isEncrypted = (payload: Payload): boolean => text(payload, 'encoding') === ENCRYPTED;

function encrypted(payload: Payload, { id, key }: { id: string; key: KeyObject }): Payload {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  const sealed = [cipher.update(PayloadMessage.encode(payload).finish()), cipher.final()];
  return {
    metadata: { encoding: Buffer.from(ENCRYPTED), [KEY_ID]: Buffer.from(id) },
    data: Buffer.concat([nonce, ...sealed, cipher.getAuthTag()]),
  };
}

/** Null: the key is missing or is another one, or the payload was changed. */
function decrypted({ data }: Payload, key: KeyObject | undefined): Payload | null {
  if (key === undefined || !data || data.length < NONCE_BYTES + TAG_BYTES) return null;
  try {
    const decipher = createDecipheriv(CIPHER, key, data.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(data.subarray(-TAG_BYTES));
    const sealed = data.subarray(NONCE_BYTES, -TAG_BYTES);
    return PayloadMessage.decode(Buffer.concat([decipher.update(sealed), decipher.final()]));
  } catch {
    return null;
  }
}
