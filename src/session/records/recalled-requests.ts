import type { PermissionDecision } from '../../contract.js';
import type { LedgerRecord } from './ledger.js';

/** What is known of requests, begun with what an earlier process of this host wrote down. */
export interface KnownRequests {
  /** When each was asked first. */
  readonly openedAt: Map<string, string>;
  readonly decisions: Map<string, PermissionDecision>;
  /** Those whose end was announced. */
  readonly closed: Set<string>;
}

/** Reads them from a ledger. */
export function recallRequests(past: readonly LedgerRecord[]): KnownRequests {
  const known: KnownRequests = { openedAt: new Map(), decisions: new Map(), closed: new Set() };
  for (const record of past)
    if (record.t === 'request') known.openedAt.set(record.requestId, record.openedAt);
    else if (record.t === 'answered') known.decisions.set(record.decision.requestId, record.decision);
    else if (record.t === 'closed') known.closed.add(record.requestId);
  return known;
}

/** Forgets a request that codex will not ask again. */
export function forget(known: KnownRequests, requestId: string): void {
  known.openedAt.delete(requestId);
  known.decisions.delete(requestId);
  known.closed.delete(requestId);
}
