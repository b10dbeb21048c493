/** Stands for a payload that cannot be read, instead of an error, which would fail a workflow task forever. */
export class Unreadable {
  constructor(
    /** What follows the name of the thing, as `message: …`; a plain text without anything of the payload's data. */
    readonly why: string,
  ) {}
}

/** How payloads are marked that this codec made: as those of the samples of Temporal's SDKs. */
export const ENCRYPTED = 'binary/encrypted';
export const KEY_ID = 'encryption-key-id';

const MAX_SHOWN = 64;

/** Why a payload cannot be read that is marked so. */
export function whyUnreadable(encoding: string, keyId: string): string {
  if (encoding === '') return 'it has no encoding';
  if (encoding !== ENCRYPTED) return `it cannot be read as ${shown(encoding)}`;
  return `it is encrypted with the key ${shown(keyId)}, which CODEX_TASK_PAYLOAD_KEY does not open`;
}

const shown = (text: string): string => JSON.stringify(text.slice(0, MAX_SHOWN));
