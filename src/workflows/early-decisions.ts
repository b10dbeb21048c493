import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import type { PermissionDecision } from '../contract/index.js';

/**
 * How long a decision waits for its request: the two travel as signals of two senders, which come within a second of
 * each other. Longer, and somebody could decide what nobody has seen, for ids can be guessed.
 */
export const EARLY_MS = 5_000;

/** A decision whose request is not known yet. */
export interface Early {
  decision: PermissionDecision;
  /** Milliseconds since the epoch. */
  untilMs: number;
}

/** Decisions that wait a moment for their requests, one of each. */
export class EarlyDecisions {
  #bytes: number;

  /** @param list those that wait, oldest first, so that the first is the first whose time is over; it is kept up to date */
  constructor(private readonly list: Early[]) {
    this.#bytes = jsonBytes(list);
  }

  /** When the first of them has waited long enough, milliseconds since the epoch, or null. */
  get untilMs(): number | null {
    return this.list[0]?.untilMs ?? null;
  }

  has(requestId: string): boolean {
    return this.list.some((each) => each.decision.requestId === requestId);
  }

  take(requestId: string): Early | undefined {
    const at = this.list.findIndex((each) => each.decision.requestId === requestId);
    const [each] = at === -1 ? [] : this.list.splice(at, 1);
    if (each) this.#bytes -= jsonBytes(each);
    return each;
  }

  /** Lets one more wait. Names the requests of those that had to go for it. */
  add(decision: PermissionDecision, nowMs: number): string[] {
    const each = { decision, untilMs: nowMs + EARLY_MS };
    this.list.push(each);
    this.#bytes += jsonBytes(each);
    const dropped: string[] = [];
    // The newest ones are those whose request may be on its way.
    while (this.#bytes > BUDGETS.earlyDecisions && this.list.length > 1) dropped.push(this.#takeOldest());
    return dropped;
  }

  /** Forgets those that have waited long enough, and names their requests. */
  dropUntil(nowMs: number): string[] {
    const dropped: string[] = [];
    while (this.list[0] && this.list[0].untilMs <= nowMs) dropped.push(this.#takeOldest());
    return dropped;
  }

  #takeOldest(): string {
    const { requestId } = this.list[0]!.decision;
    this.take(requestId);
    return requestId;
  }
}
