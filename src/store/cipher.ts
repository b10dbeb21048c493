import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { TaskError } from '../errors.js';
import type { KeyList, NamedKey } from '../codec/key-list.js';

export type SeedKey = NamedKey;

/** What credentials are encrypted with at rest. */
export interface SeedKeys extends KeyList {
  /** Plain blobs are neither written nor read: who can write the database must not be able to replace a seed. */
  readonly only?: boolean;
}

/** Neither a gzip stream nor JSON begins with it, so that plain blobs are told apart. */
const MAGIC = Buffer.from('CTSEED1\n');
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Most bytes by which an encrypted blob is longer than its content. */
export const MAX_OVERHEAD_BYTES = MAGIC.length + 1 + 255 + NONCE_BYTES + TAG_BYTES;

/**
 * Encrypts with AES-256-GCM: magic, length and text of the key's id, nonce, ciphertext, tag. It opens only for the
 * same `place`. Without a key that writes the bytes come back as they are.
 */
export function seal({ writes }: SeedKeys, bytes: Buffer, place: string): Buffer {
  if (writes === null) return bytes;
  const id = Buffer.from(writes.id);
  const header = Buffer.concat([MAGIC, Buffer.from([id.length]), id]);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', writes.key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(boundTo(header, place));
  return Buffer.concat([header, nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

/**
 * The content of a sealed or plain blob, and which key it was sealed with.
 * @param subject names the blob in an error
 * @throws TaskError `HostUnfit` when its key is missing or is another one, or the blob was changed or moved, or is
 * plain where only encrypted ones are read
 */
export function open(
  { reads, only = false }: SeedKeys,
  blob: Buffer,
  place: string,
  subject: string,
): { bytes: Buffer; keyId: string | null } {
  if (!blob.subarray(0, MAGIC.length).equals(MAGIC)) {
    if (!only) return { bytes: blob, keyId: null };
    throw new TaskError(
      'HostUnfit',
      `${subject} is not encrypted, and this database accepts only encrypted credentials`,
    );
  }
  const headerEnd = MAGIC.length + 1 + (blob[MAGIC.length] ?? 0);
  const keyId = blob.subarray(MAGIC.length + 1, headerEnd).toString();
  const known = reads.find(({ id }) => id === keyId);
  if (!known)
    throw new TaskError(
      'HostUnfit',
      `${subject} is encrypted with the key ${JSON.stringify(keyId)}, which CODEX_TASK_SEED_KEY does not have: add it there`,
    );
  const nonce = blob.subarray(headerEnd, headerEnd + NONCE_BYTES);
  const sealed = blob.subarray(headerEnd + NONCE_BYTES);
  try {
    const decipher = createDecipheriv('aes-256-gcm', known.key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(boundTo(blob.subarray(0, headerEnd), place));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const bytes = Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
    return { bytes, keyId };
  } catch (error) {
    throw new TaskError(
      'HostUnfit',
      `${subject} does not open with the key ${JSON.stringify(keyId)} of CODEX_TASK_SEED_KEY: that is another key, or the blob was changed or moved`,
      { cause: error },
    );
  }
}

const boundTo = (header: Buffer, place: string): Buffer => Buffer.concat([header, Buffer.from(place)]);
