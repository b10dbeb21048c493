import type { PermissionDecision, PermissionRequest, PermissionSettled } from '../contract.js';
import type { TaskSpec } from '../task-input.js';

/** Settled requests that are remembered, so that a late decision is told apart from an unknown one. */
const REMEMBERED = 1_000;
/** Decisions kept that came before their request. */
const MAX_EARLY = 100;

/** The task's open permission requests. Each leaves with exactly one decision, or settled elsewhere. */
export interface PermissionDesk {
  readonly open: ReadonlyMap<string, PermissionRequest>;
  /** A request came up from the host. One that is open or settled already changes nothing. */
  request(request: PermissionRequest, nowMs: number): void;
  /** The host says that a request ended without us. */
  settle(settled: PermissionSettled): void;
  /** Notes a request that was decided on the host; `false` when it is known already. */
  record(requestId: string): boolean;
  /** Takes a decision; `false` when the request is not open. */
  decide(decision: PermissionDecision): boolean;
  /** As `decide`; for a request that is not known yet the decision waits for it. */
  decideSoon(decision: PermissionDecision): void;
  /** Why a decision on this request would be refused, or null. */
  refusal(requestId: string): 'unknown' | 'settled' | null;
  /** Decides what has expired; the milliseconds until the next expiry, or null. */
  expire(nowMs: number): number | null;
  /** Decisions not yet handed out, oldest first. */
  takeDecisions(): PermissionDecision[];
  /** Takes back decisions that did not arrive. */
  giveBack(decisions: readonly PermissionDecision[]): void;
  /** Who asked is gone: settles every open request, forgets undelivered decisions, and names all of those. */
  abandon(): string[];
  readonly hasDecisions: boolean;
  /** Grows with every change. */
  readonly version: number;
  carry(): CarriedDesk;
}

/** A desk as plain JSON. */
export interface CarriedDesk {
  open: PermissionRequest[];
  settled: string[];
  early: PermissionDecision[];
  decisions: PermissionDecision[];
}

/** @param carried a desk of an earlier run */
export function openPermissionDesk(
  approvals: TaskSpec['approvals'],
  carried: CarriedDesk = { open: [], settled: [], early: [], decisions: [] },
): PermissionDesk {
  const open = new Map(carried.open.map((each) => [each.requestId, each]));
  const settled = new Set(carried.settled);
  const early = new Map(carried.early.map((each) => [each.requestId, each]));
  let decisions = [...carried.decisions];
  let version = 0;

  function close(requestId: string): boolean {
    version++;
    settled.add(requestId);
    if (settled.size > REMEMBERED) settled.delete(settled.values().next().value!);
    return open.delete(requestId);
  }

  function decide(decision: PermissionDecision): boolean {
    if (!open.has(decision.requestId)) return false;
    close(decision.requestId);
    decisions.push(decision);
    return true;
  }

  return {
    open,
    request(request, nowMs) {
      const { requestId } = request;
      if (open.has(requestId) || settled.has(requestId)) return;
      const { timeoutMs } = approvals;
      const expiry = timeoutMs === null ? {} : { expiresAt: new Date(nowMs + timeoutMs).toISOString() };
      version++;
      open.set(requestId, { ...request, ...expiry });
      const decision = early.get(requestId);
      early.delete(requestId);
      if (decision) decide(decision);
    },
    settle({ requestId }) {
      early.delete(requestId);
      close(requestId);
    },
    record(requestId) {
      const isNew = !settled.has(requestId);
      close(requestId);
      return isNew;
    },
    decide,
    decideSoon(decision) {
      if (decide(decision) || settled.has(decision.requestId) || early.size >= MAX_EARLY) return;
      if (!early.has(decision.requestId)) early.set(decision.requestId, decision);
    },
    refusal: (requestId) => (open.has(requestId) ? null : settled.has(requestId) ? 'settled' : 'unknown'),
    expire(nowMs) {
      let next: number | null = null;
      for (const { requestId, expiresAt } of [...open.values()]) {
        if (expiresAt === undefined) continue;
        const inMs = Date.parse(expiresAt) - nowMs;
        if (inMs <= 0) decide({ requestId, behavior: approvals.onTimeout, decidedBy: 'timeout' });
        else next = Math.min(next ?? inMs, inMs);
      }
      return next;
    },
    takeDecisions() {
      const taken = decisions;
      decisions = [];
      return taken;
    },
    carry: () => ({ open: [...open.values()], settled: [...settled], early: [...early.values()], decisions }),
    giveBack(taken) {
      decisions = [...taken, ...decisions];
    },
    abandon() {
      const ids = new Set([...decisions.map(({ requestId }) => requestId), ...open.keys()]);
      for (const requestId of [...open.keys()]) close(requestId);
      decisions = [];
      return [...ids];
    },
    get hasDecisions() {
      return decisions.length > 0;
    },
    get version() {
      return version;
    },
  };
}
