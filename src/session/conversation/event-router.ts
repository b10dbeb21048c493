import { isRecord, readNotification, type ServerNotification } from '../../codex/narrow.js';
import type { RateLimitSnapshot, RequestId, ThreadItem, Turn } from '../../codex/protocol.js';
import type { Journal } from '../../journal/journal.js';
import type { TurnItems } from './turn-items.js';

/** How many ended turns are remembered, to recognise their late events. */
const REMEMBERED_TURNS = 100;

/** Handlers of a thread for the events that concern it. */
export interface EventSinks {
  turnStarted(turn: Turn): void;
  turnCompleted(turn: Turn, raw: string): void;
  itemStarted(item: ThreadItem): void;
  itemCompleted(item: ThreadItem): void;
  requestResolved(requestId: RequestId): void;
  usageSeen(total: object): void;
  rateLimitsSeen(limits: RateLimitSnapshot): void;
  failed(message: string): void;
  /** An event of another thread, a sub-agent's. */
  otherThread(threadId: string, event: ServerNotification): void;
  modelSeen(model: string, effort?: string | null): void;
  /** Called for every event of the thread but its deltas and the ends of its turns. */
  noted?(event: ServerNotification): void;
  /** Called after so many events. */
  manyCame?(): void;
}

const MANY_EVENTS = 50_000;

/**
 * Writes Codex's notifications into the journal, in order, and passes on those that concern the thread. Marks events
 * of a turn after its end.
 */
export class EventRouter {
  private readonly endedTurns = new Set<string>();
  private routed = 0;

  constructor(
    private readonly threadId: string,
    private readonly journal: Pick<Journal, 'append'>,
    private readonly items: TurnItems,
    private readonly sinks: EventSinks,
  ) {}

  route(method: string, params: unknown, raw: string): void {
    if (!isRecord(params)) return void this.journal.append(raw);
    const { threadId, turnId } = params;
    if (typeof threadId === 'string' && threadId !== this.threadId)
      return this.routeOther(threadId, method, params, raw);
    if (threadId !== undefined && threadId !== this.threadId) return void this.journal.append(raw);
    if (method.startsWith('item/') && typeof turnId === 'string' && this.endedTurns.has(turnId))
      return void this.journal.append(`{"type":"x-optio-late","at":${Date.now()},"event":${raw}}`);
    // Deltas, most of all events, skip the checks of the others.
    if (++this.routed % MANY_EVENTS === 0) this.sinks.manyCame?.();
    if (method === 'item/agentMessage/delta') {
      const { itemId, delta } = params;
      const isWanted =
        typeof itemId !== 'string' || typeof delta !== 'string' || this.items.delta(itemId, delta);
      if (isWanted) this.journal.append(raw);
      return;
    }
    const event = readNotification(method, params);
    if (event?.method === 'turn/completed') return this.sinks.turnCompleted(event.params.turn, raw);
    this.journal.append(raw);
    if (!event) return;
    this.sinks.noted?.(event);
    this.tell(event);
  }

  /** From now on events of this turn are late. */
  turnEnded(turnId: string): void {
    this.endedTurns.add(turnId);
    if (this.endedTurns.size > REMEMBERED_TURNS)
      this.endedTurns.delete(this.endedTurns.values().next().value!);
  }

  /** Sends the end of a turn after everything of it was closed. */
  private routeOther(threadId: string, method: string, params: object, raw: string): void {
    const event = method === 'item/agentMessage/delta' ? undefined : readNotification(method, params);
    if (event?.method === 'turn/completed') this.sinks.otherThread(threadId, event);
    this.journal.append(raw);
    if (!event) return;
    this.sinks.noted?.(event);
    if (event.method !== 'turn/completed') this.sinks.otherThread(threadId, event);
  }

  private tell({ method, params }: ServerNotification): void {
    switch (method) {
      case 'item/started':
        return this.sinks.itemStarted(params.item);
      case 'item/completed':
        return this.sinks.itemCompleted(params.item);
      case 'turn/started':
        return this.sinks.turnStarted(params.turn);
      case 'thread/tokenUsage/updated':
        return this.sinks.usageSeen(params.tokenUsage.total);
      case 'account/rateLimits/updated':
        return this.sinks.rateLimitsSeen(params.rateLimits);
      case 'error':
        return params.willRetry ? undefined : this.sinks.failed(params.error.message);
      case 'serverRequest/resolved':
        return this.sinks.requestResolved(params.requestId);
      case 'thread/settings/updated':
        return this.sinks.modelSeen(params.threadSettings.model, params.threadSettings.effort);
      case 'model/rerouted':
        return this.sinks.modelSeen(params.toModel);
      default:
        // The others concern clients only.
        return;
    }
  }
}
