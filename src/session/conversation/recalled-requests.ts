import type { PermissionDecision } from '../../contract/index.js';
import { REMEMBERED, type LedgerRecord } from '../../task-folder/ledger.js';
import type { RecalledEvents } from '../recall/recalled-events.js';

/** Requests as an earlier process of this host recorded them, then kept up to date. */
export interface KnownRequests {
  /** Announced requests. The events tell it, so that each is announced once whatever else was recorded. */
  readonly announced: Map<string, 'open' | 'ended'>;
  readonly decisions: Map<string, PermissionDecision>;
}

/** Reads them from a ledger, and the announced ones from the events. */
export function recallRequests(
  past: readonly LedgerRecord[],
  { requests }: Pick<RecalledEvents, 'requests'>,
): KnownRequests {
  // Codex got the answers of older ones long ago.
  const newest = past.flatMap((each) => (each.t === 'answered' ? [each.decision] : [])).slice(-REMEMBERED);
  const decisions = new Map(newest.map((decision) => [decision.requestId, decision]));
  return { announced: new Map(requests), decisions };
}

/** The ids of announced requests without an end. */
export const openOnes = ({ announced }: Pick<KnownRequests, 'announced'>): string[] =>
  [...announced].flatMap(([requestId, stage]) => (stage === 'open' ? [requestId] : []));

/** Forgets a request that Codex will not repeat. */
export function forgetRequest(known: KnownRequests, requestId: string): void {
  known.announced.delete(requestId);
  known.decisions.delete(requestId);
}
