import { BUDGETS } from '../budgets/budgets.js';
import type { PermissionDecision, PermissionRequest, PermissionSettled } from '../contract/index.js';
import { answerFault, needsPerson } from '../input/answers.js';
import { EARLY_MS, EarlyDecisions, type Early } from './early-decisions.js';
import { openIdMemory, type IdMemory } from './id-memory.js';
import { namesOf } from './names-of.js';
import { openRequests, type OpenRequests } from './open-requests.js';
import type { TaskSpec } from '../contract/task-spec.js';

/** How many settled requests are remembered, to tell a late decision from an unknown one. */
const REMEMBERED = { count: 1_000, bytes: BUDGETS.rememberedIds };

/** The state as plain JSON. */
export interface PermissionsState {
  open: PermissionRequest[];
  settled: string[];
  early: Early[];
}

export const noPermissions = (): PermissionsState => ({ open: [], settled: [], early: [] });

/** The task's open permission requests. Each leaves with exactly one decision, or settled elsewhere. */
export class PermissionRequests {
  readonly #requests: OpenRequests;
  readonly #settled: IdMemory;
  readonly #early: EarlyDecisions;
  #version = 0;

  /**
   * @param onDecision gets each decision of an open request, once
   * @param onRefused is told of what is not taken
   * @param state what is known of them, which is kept up to date
   */
  constructor(
    private readonly approvals: TaskSpec['approvals'],
    private readonly onDecision: (decision: PermissionDecision) => void,
    private readonly onRefused: (why: string) => void,
    state: PermissionsState = noPermissions(),
  ) {
    this.#requests = openRequests(state.open);
    this.#settled = openIdMemory(REMEMBERED, state.settled);
    this.#early = new EarlyDecisions(state.early);
  }

  get open(): ReadonlyMap<string, PermissionRequest> {
    return this.#requests.byId;
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** A request came up from the host. One that is open or settled already changes nothing. */
  request(request: PermissionRequest, nowMs: number): void {
    const { requestId } = request;
    if (this.open.has(requestId) || this.#settled.has(requestId)) return;
    const { timeoutMs } = this.approvals;
    const waits = timeoutMs === null || this.#waitsForPerson(request);
    const expiry = waits ? {} : { expiresAt: new Date(nowMs + timeoutMs).toISOString() };
    this.#version++;
    if (!this.#requests.add({ ...request, ...expiry }))
      return this.onRefused(`Request ${requestId}: too many are open, so nobody can decide it`);
    const first = this.#early.take(requestId);
    if (first && nowMs < first.untilMs) this.decide(first.decision);
    else if (first) this.#reportDropped([requestId]);
  }

  /** The host says that a request ended without us. */
  settle({ requestId }: PermissionSettled): void {
    if (this.#early.take(requestId)) this.#ignore(requestId, 'the request is settled');
    this.#close(requestId);
  }

  /** Notes a request that was decided on the host; `false` when it is known already. */
  record(requestId: string): boolean {
    const isNew = !this.#settled.has(requestId);
    if (this.#early.take(requestId)) this.#ignore(requestId, 'a rule decided the request');
    this.#close(requestId);
    return isNew;
  }

  /** Takes a decision; `false` when the request is not open, or stays so since the decision does not answer it. */
  decide(decision: PermissionDecision): boolean {
    const { requestId } = decision;
    if (!this.open.has(requestId)) return false;
    const fault = this.fault(decision);
    if (fault !== null) {
      this.#ignore(requestId, fault, ', the request stays open');
      return false;
    }
    this.#close(requestId);
    this.onDecision(decision);
    return true;
  }

  /** As `decide`; for a request that is not known yet the decision waits a moment for it. */
  decideSoon(decision: PermissionDecision, nowMs: number): void {
    const { requestId } = decision;
    if (this.decide(decision) || this.open.has(requestId)) return;
    if (this.#settled.has(requestId)) return this.#ignore(requestId, 'the request is settled');
    if (this.#early.has(requestId)) return this.#ignore(requestId, 'an earlier one waits for the request');
    for (const dropped of this.#early.add(decision, nowMs)) this.#reportDropped([dropped]);
  }

  /** When the first of those has waited long enough, milliseconds since the epoch, or null. */
  get earlyUntilMs(): number | null {
    return this.#early.untilMs;
  }

  /** Forgets those that have, and says so. */
  dropEarly(nowMs: number): void {
    this.#reportDropped(this.#early.dropUntil(nowMs));
  }

  /** Why a decision on this request would be refused, or null. */
  refusal(requestId: string): 'unknown' | 'settled' | null {
    if (this.open.has(requestId)) return null;
    return this.#settled.has(requestId) ? 'settled' : 'unknown';
  }

  /** Whether nobody but a person may allow this request. */
  needsPerson({ kind, input, truncated }: PermissionRequest): boolean {
    return needsPerson(kind, input, truncated);
  }

  /**
   * What a decision lacks to answer its open request, or null. A request that is cut may hold what is not seen here; its
   * host looks at the whole.
   */
  fault(decision: PermissionDecision): string | null {
    const request = this.open.get(decision.requestId);
    return request && !request.truncated ? answerFault(request.kind, request.input, decision) : null;
  }

  /** Decides what has expired; when the next one does, milliseconds since the epoch, or null. */
  expire(nowMs: number): number | null {
    const { timeoutMs, onTimeout } = this.approvals;
    if (timeoutMs === null) return null;
    // All wait equally long, so the oldest one expires first.
    for (const request of [...this.open.values()]) {
      const { requestId, expiresAt } = request;
      const at = Date.parse(expiresAt ?? '');
      if (this.#waitsForPerson(request)) continue;
      if (at > nowMs) return at;
      if (at <= nowMs) this.decide({ requestId, behavior: onTimeout, decidedBy: 'timeout' });
    }
    return null;
  }

  /** Who asked is gone: settles every open request, and names them. */
  abandon(): string[] {
    const ids = [...this.open.keys()];
    for (const requestId of ids) this.#close(requestId);
    return ids;
  }

  /** Nobody's silence fills in a form. */
  #waitsForPerson(request: PermissionRequest): boolean {
    return this.approvals.onTimeout === 'allow' && this.needsPerson(request);
  }

  #close(requestId: string): void {
    this.#version++;
    this.#settled.add(requestId);
    this.#requests.delete(requestId);
  }

  #ignore(requestId: string, why: string, effect = ''): void {
    this.onRefused(`Decision on ${requestId} ignored${effect}: ${why}`);
  }

  #reportDropped(requestIds: readonly string[]): void {
    if (requestIds.length === 0) return;
    const ids = namesOf(requestIds);
    this.onRefused(`Decision dropped, as no such request was open within ${EARLY_MS / 1_000} s: ${ids}`);
  }
}
