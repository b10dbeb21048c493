import { TaskError } from '../errors.js';
import { NO_KEYS, parseKeys, type KeyList } from './key-list.js';

/** The setting that names the keys of payloads. */
export const PAYLOAD_KEY = 'CODEX_TASK_PAYLOAD_KEY';
export const PAYLOAD_KEY_EXPECTED =
  'keys of 32 bytes in base64, as id:key, with commas between; the first one writes (plain: none does)';

/**
 * The keys that a client was given; the text itself is in no error.
 * @throws TaskError `BadInput`
 */
export function payloadKeysFrom(text: string | undefined): KeyList {
  if (text === undefined || text === '') return NO_KEYS;
  const keys = parseKeys(text);
  if (keys) return keys;
  throw new TaskError('BadInput', `${PAYLOAD_KEY}: expected ${PAYLOAD_KEY_EXPECTED}`);
}
