import type { ThreadItem } from '../../codex/protocol.js';
import { toolCallOf } from '../../codex/requests.js';
import type { Behavior } from '../../contract/index.js';

/** How long a request waits for the next event of its item. Milliseconds. */
const INFER_MS = 300;

/** Identifies the item of a request. */
export interface RequestOfItem {
  readonly threadId: unknown;
  readonly itemId: unknown;
  readonly input: Record<string, unknown>;
}

/**
 * Follows requests that another client of the app-server answered. Codex reports that, not the answer, which the next
 * event of the item shows. Without a sign of a refusal (an item declined or rejected, the turn interrupted) it counts
 * as allowed.
 */
export class AnsweredElsewhere {
  private readonly waiting = new Map<string, { request: RequestOfItem; timer: NodeJS.Timeout }>();

  /** `onSeen` is called once for each request, when its answer is known. */
  constructor(private readonly onSeen: (requestId: string, behavior: Behavior) => void) {}

  add(requestId: string, request: RequestOfItem): void {
    const timer = setTimeout(() => this.seen(requestId, 'allow'), INFER_MS);
    this.waiting.set(requestId, { request, timer });
  }

  itemEnded(item: ThreadItem): void {
    for (const [requestId, { request }] of this.waiting)
      if (request.itemId === item.id || isCallOf(request, item))
        this.seen(requestId, wasRefused(item) ? 'deny' : 'allow');
  }

  turnEnded(threadId: string, behavior: Behavior): void {
    for (const [requestId, { request }] of this.waiting)
      if (request.threadId === threadId) this.seen(requestId, behavior);
  }

  /** No later event will show how they were answered. */
  endAll(behavior: Behavior): void {
    for (const requestId of this.waiting.keys()) this.seen(requestId, behavior);
  }

  private seen(requestId: string, behavior: Behavior): void {
    clearTimeout(this.waiting.get(requestId)?.timer);
    if (this.waiting.delete(requestId)) this.onSeen(requestId, behavior);
  }
}

/** An MCP tool's approval names no item: it stands for the open call of that tool. */
const isCallOf = ({ input }: RequestOfItem, item: ThreadItem): boolean =>
  item.type === 'mcpToolCall' &&
  'tool' in item &&
  item.server === input['serverName'] &&
  item.tool === toolCallOf(input);

function wasRefused(item: ThreadItem): boolean {
  if (!('status' in item)) return false;
  const { error } = item as { error?: { message?: unknown } | null };
  return item.status === 'declined' || error?.message === 'user rejected MCP tool call';
}
