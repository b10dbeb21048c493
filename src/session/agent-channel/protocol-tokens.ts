import { randomUUID } from 'node:crypto';
import type { LedgerRecord } from '../../task-folder/ledger.js';

/** Begins the ids of what comes of lines; another one on each host, whose lines may be other ones. */
export const newToken = (): string => randomUUID().slice(0, 8);

/** Each token with the line behind which it counts, oldest first. */
export function tokensIn(past: readonly LedgerRecord[]): { token: string; after: number }[] {
  const records = past.filter((record) => record.t === 'protocol');
  return records
    .filter(({ after }, i) => i === 0 || after !== undefined)
    .map(({ token, after = 0 }) => ({ token, after }));
}
