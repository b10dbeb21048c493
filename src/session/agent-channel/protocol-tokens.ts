import { randomUUID } from 'node:crypto';
import type { LedgerRecord } from '../../task-folder/ledger.js';

/** Prefix of the ids of a line's effects, another one on each host, whose lines may differ. */
export const newToken = (): string => randomUUID().slice(0, 8);

/** Each token with the line behind which it counts, oldest first. */
export function tokensIn(past: readonly LedgerRecord[]): { token: string; after: number }[] {
  const records = past.filter((record) => record.t === 'protocol');
  return records
    .filter(({ after }, i) => i === 0 || after !== undefined)
    .map(({ token, after = 0 }) => ({ token, after }));
}
