import { createHash, createSecretKey, type KeyObject } from 'node:crypto';

/** A key of 32 bytes with the name by which what it encrypted refers to it. */
export interface NamedKey {
  readonly id: string;
  /** Shows nothing of itself when it is printed. */
  readonly key: KeyObject;
}

/** Keys of one setting: the first one writes, all read. */
export interface KeyList {
  /** Null: what is written is plain. */
  readonly writes: NamedKey | null;
  readonly reads: readonly NamedKey[];
}

export const NO_KEYS: KeyList = { writes: null, reads: [] };

/**
 * Reads `id:key,id:key,…`, each key 32 bytes in base64; `plain` in the first place: none writes. Undefined when it is no
 * such list, or two have one name.
 * @param mayBeUnnamed whether `key` alone is one, named after its hash: that of a random key tells nothing about it
 */
export function parseKeys(text: string, mayBeUnnamed = false): KeyList | undefined {
  const [first = '', ...others] = text.split(',').map((part) => part.trim());
  const writesPlain = first === 'plain';
  const keys = (writesPlain ? others : [first, ...others]).map((part) => parseKey(part, mayBeUnnamed));
  const reads = keys.filter((key) => key !== undefined);
  const ids = new Set(reads.map(({ id }) => id));
  if (reads.length < keys.length || ids.size < keys.length) return undefined;
  return { writes: writesPlain ? null : (reads[0] ?? null), reads };
}

function parseKey(text: string, mayBeUnnamed: boolean): NamedKey | undefined {
  const [, id, encoded = ''] = /^(?:([\w.-]{1,64}):)?([A-Za-z0-9+/_-]{43}=?)$/.exec(text) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== 32 || (id === undefined && !mayBeUnnamed)) return undefined;
  const name = id ?? `key-${createHash('sha256').update(bytes).digest('hex').slice(0, 8)}`;
  return { id: name, key: createSecretKey(bytes) };
}
