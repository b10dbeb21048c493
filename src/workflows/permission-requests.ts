import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import type { PermissionDecision, PermissionRequest, PermissionSettled } from '../contract/index.js';
import { answerFault, needsPerson } from '../input/answers.js';
import { openIdMemory } from './id-memory.js';
import { namesOf } from './names-of.js';
import { openRequests } from './open-requests.js';
import type { TaskSpec } from '../contract/task-spec.js';

/** Settled requests that are remembered, so that a late decision is told apart from an unknown one. */
const REMEMBERED = { count: 1_000, bytes: BUDGETS.rememberedIds };
/**
 * How long a decision waits for its request: the two travel as signals of two senders, which come within a second of
 * each other. Longer, and somebody could decide what nobody has seen, for ids can be guessed.
 */
const EARLY_MS = 5_000;

/** The task's open permission requests. Each leaves with exactly one decision, or settled elsewhere. */
export interface PermissionRequests {
  readonly open: ReadonlyMap<string, PermissionRequest>;
  /** A request came up from the host. One that is open or settled already changes nothing. */
  request(request: PermissionRequest, nowMs: number): void;
  /** The host says that a request ended without us. */
  settle(settled: PermissionSettled): void;
  /** Notes a request that was decided on the host; `false` when it is known already. */
  record(requestId: string): boolean;
  /** Takes a decision; `false` when the request is not open, or stays so since the decision does not answer it. */
  decide(decision: PermissionDecision): boolean;
  /** As `decide`; for a request that is not known yet the decision waits a moment for it. */
  decideSoon(decision: PermissionDecision, nowMs: number): void;
  /** When the first of those has waited long enough, milliseconds since the epoch, or null. */
  readonly earlyUntilMs: number | null;
  /** Forgets those that have, and says so. */
  dropEarly(nowMs: number): void;
  /** Why a decision on this request would be refused, or null. */
  refusal(requestId: string): 'unknown' | 'settled' | null;
  /** Whether nobody but a person may allow this request. */
  needsPerson(request: PermissionRequest): boolean;
  /** What a decision lacks to answer its open request, or null. */
  fault(decision: PermissionDecision): string | null;
  /** Decides what has expired; when the next one does, milliseconds since the epoch, or null. */
  expire(nowMs: number): number | null;
  /** Who asked is gone: settles every open request, and names them. */
  abandon(): string[];
  /** Grows with every change. */
  readonly version: number;
}

/** What is known of them, as plain JSON. */
export interface PermissionsState {
  open: PermissionRequest[];
  settled: string[];
  early: Early[];
}

export const noPermissions = (): PermissionsState => ({ open: [], settled: [], early: [] });

/** A decision whose request is not known yet. */
interface Early {
  decision: PermissionDecision;
  /** Milliseconds since the epoch. */
  untilMs: number;
}

/**
 * @param onDecision gets each decision of an open request, once
 * @param onRefused is told of what is not taken
 * @param state what is known of them, which is kept up to date
 */
export function openPermissionRequests(
  approvals: TaskSpec['approvals'],
  onDecision: (decision: PermissionDecision) => void,
  onRefused: (why: string) => void,
  state: PermissionsState = noPermissions(),
): PermissionRequests {
  const requests = openRequests(state.open);
  const open = requests.byId;
  const settled = openIdMemory(REMEMBERED, state.settled);
  // Oldest first, so the first one is the first whose time is over.
  const { early } = state;
  let earlyBytes = jsonBytes(early);
  let version = 0;

  function close(requestId: string): boolean {
    version++;
    settled.add(requestId);
    return requests.delete(requestId);
  }

  const isForPeople = ({ kind, input, truncated }: PermissionRequest) => needsPerson(kind, input, truncated);

  /** A request that is cut may hold what is not seen here; its host looks at the whole. */
  function faultOf(decision: PermissionDecision): string | null {
    const request = open.get(decision.requestId);
    return request && !request.truncated ? answerFault(request.kind, request.input, decision) : null;
  }

  function decide(decision: PermissionDecision): boolean {
    if (!open.has(decision.requestId)) return false;
    const fault = faultOf(decision);
    if (fault !== null) {
      onRefused(`Decision on ${decision.requestId} ignored, the request stays open: ${fault}`);
      return false;
    }
    close(decision.requestId);
    onDecision(decision);
    return true;
  }

  function takeEarly(requestId: string): Early | undefined {
    const at = early.findIndex((each) => each.decision.requestId === requestId);
    const [each] = at === -1 ? [] : early.splice(at, 1);
    if (each) earlyBytes -= jsonBytes(each);
    return each;
  }

  function takeOldest(): string {
    const { requestId } = early[0]!.decision;
    takeEarly(requestId);
    return requestId;
  }

  function say(requestIds: readonly string[]): void {
    if (requestIds.length === 0) return;
    const ids = namesOf(requestIds);
    onRefused(`Decision dropped, for no such request was open within ${EARLY_MS / 1_000} s: ${ids}`);
  }

  return {
    open,
    request(request, nowMs) {
      const { requestId } = request;
      if (open.has(requestId) || settled.has(requestId)) return;
      const { timeoutMs } = approvals;
      const waits = timeoutMs === null || (approvals.onTimeout === 'allow' && isForPeople(request));
      const expiry = waits ? {} : { expiresAt: new Date(nowMs + timeoutMs).toISOString() };
      version++;
      if (!requests.add({ ...request, ...expiry }))
        return onRefused(`Request ${requestId}: too many are open, so nobody can decide it`);
      const first = takeEarly(requestId);
      if (first && nowMs < first.untilMs) decide(first.decision);
      else if (first) say([requestId]);
    },
    settle({ requestId }) {
      if (takeEarly(requestId)) onRefused(`Decision on ${requestId} ignored: the request is settled`);
      close(requestId);
    },
    record(requestId) {
      const isNew = !settled.has(requestId);
      if (takeEarly(requestId)) onRefused(`Decision on ${requestId} ignored: a rule decided the request`);
      close(requestId);
      return isNew;
    },
    decide,
    decideSoon(decision, nowMs) {
      const { requestId } = decision;
      if (decide(decision) || open.has(requestId)) return;
      if (settled.has(requestId))
        return onRefused(`Decision on ${requestId} ignored: the request is settled`);
      if (early.some((each) => each.decision.requestId === requestId))
        return onRefused(`Decision on ${requestId} ignored: an earlier one waits for the request`);
      const each = { decision, untilMs: nowMs + EARLY_MS };
      early.push(each);
      earlyBytes += jsonBytes(each);
      // The newest ones are those whose request may be on its way.
      while (earlyBytes > BUDGETS.earlyDecisions && early.length > 1) say([takeOldest()]);
    },
    get earlyUntilMs() {
      return early[0]?.untilMs ?? null;
    },
    dropEarly(nowMs) {
      const ids: string[] = [];
      while (early[0] && early[0].untilMs <= nowMs) ids.push(takeOldest());
      say(ids);
    },
    needsPerson: isForPeople,
    fault: faultOf,
    refusal: (requestId) => (open.has(requestId) ? null : settled.has(requestId) ? 'settled' : 'unknown'),
    expire(nowMs) {
      if (approvals.timeoutMs === null) return null;
      // All wait equally long, so the oldest one expires first.
      for (const request of [...open.values()]) {
        const { requestId, expiresAt } = request;
        const at = Date.parse(expiresAt ?? '');
        // Nobody's silence fills in a form.
        if (approvals.onTimeout === 'allow' && isForPeople(request)) continue;
        if (at > nowMs) return at;
        if (at <= nowMs) decide({ requestId, behavior: approvals.onTimeout, decidedBy: 'timeout' });
      }
      return null;
    },
    abandon() {
      const ids = [...open.keys()];
      ids.forEach(close);
      return ids;
    },
    get version() {
      return version;
    },
  };
}
