import type { PermissionDecision } from '../../contract/index.js';
import { REMEMBERED, type LedgerRecord } from '../../task-folder/ledger.js';
import type { RecalledEvents } from '../recall/recalled-events.js';

/** What is known of requests, begun with what an earlier process of this host wrote down. */
export interface KnownRequests {
  /** Those that were announced. The events tell it, so that each is announced once whatever else was written. */
  readonly announced: Map<string, 'open' | 'ended'>;
  readonly decisions: Map<string, PermissionDecision>;
}

/** Reads them from a ledger, and what was announced from the events. */
export function recallRequests(
  past: readonly LedgerRecord[],
  { requests }: Pick<RecalledEvents, 'requests'>,
): KnownRequests {
  // Of older ones codex has had the answer long since.
  const newest = past.flatMap((each) => (each.t === 'answered' ? [each.decision] : [])).slice(-REMEMBERED);
  const decisions = new Map(newest.map((decision) => [decision.requestId, decision]));
  return { announced: new Map(requests), decisions };
}

/** The ids of those that were announced and whose end was not. */
export const openOnes = ({ announced }: Pick<KnownRequests, 'announced'>): string[] =>
  [...announced].flatMap(([requestId, stage]) => (stage === 'open' ? [requestId] : []));

/** Forgets a request that codex will not ask again. */
export function forget(known: KnownRequests, requestId: string): void {
  known.announced.delete(requestId);
  known.decisions.delete(requestId);
}
