import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PreviousHost } from '../../contract/activities.js';
import { PROTOCOL_LOG } from './host-protocol.js';
import { newToken } from './protocol-tokens.js';
import type { Journal } from '../../journal/journal.js';
import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import { START } from '../../task-folder/log-tail.js';
import { lastLineIn } from './protocol-events.js';

/**
 * Reconciles the open hook requests of the last checkpoint with the workflow's, on a host that takes the task over.
 * Returns the ledger with that in its past.
 */
export async function takeOverHookRequests(
  records: { journal: Pick<Journal, 'read'>; ledger: Ledger },
  work: string,
  { open, settled }: NonNullable<PreviousHost['hookRequests']> = { open: [], settled: [] },
): Promise<Ledger> {
  const { ledger } = records;
  const waits = new Set<string>();
  for (const record of ledger.past)
    if (record.t === 'hookRequest') waits.add(record.hookRequest.id);
    else if (record.t === 'owed') waits.add(record.id);
    else if (record.t === 'settled') waits.delete(record.id);
  const added: LedgerRecord[] = [
    // The workflow takes no hook request twice, so it would never answer these.
    ...settled.filter((id) => waits.has(id)).map((id) => ({ t: 'settled', id }) as const),
    ...open.filter((id) => !waits.has(id)).map((id) => ({ t: 'owed', id }) as const),
  ];
  const goesOn = await readOnHere(records, work);
  if (goesOn) added.push(goesOn);
  for (const record of added) await ledger.write(record);
  return { ...ledger, past: [...ledger.past, ...added] };
}

/**
 * Sets where the agent's log is read on. Lines after the checkpoint get other ids here: the lost host may have
 * handled other lines in their place.
 */
async function readOnHere(
  { journal, ledger }: { journal: Pick<Journal, 'read'>; ledger: Ledger },
  work: string,
): Promise<LedgerRecord | null> {
  const past = ledger.past.findLast((record) => record.t === 'protocol');
  if (!past) return null;
  const acted = ledger.past.flatMap((record) =>
    record.t === 'hookRequest' && record.hookRequest.id.startsWith(`${past.token}-`)
      ? [Number(record.hookRequest.id.slice(past.token.length + 1))]
      : [],
  );
  const after = Math.max(past.line, await lastLineIn(journal), ...acted);
  const { ino, size } = await lstat(join(work, PROTOCOL_LOG));
  const { offset, skipping } = past.position;
  const isThatOne = size >= offset;
  return {
    t: 'protocol',
    token: newToken(),
    after,
    line: isThatOne ? past.line : after,
    position: isThatOne ? { ino, offset, skipping } : START,
  };
}
