import { isRecord } from '../../codex/narrow.js';

/** Items that are sent to the model when they have ended: no request starts before that. */
const TOOLS = new Set([
  'commandExecution',
  'fileChange',
  'mcpToolCall',
  'dynamicToolCall',
  'collabAgentToolCall',
]);
/** Items that Codex makes itself before a request to the model. */
const BEFORE_A_REQUEST = new Set(['userMessage', 'contextCompaction']);

interface ThreadWatch {
  /** A request was sent, or is about to be, and no answer has begun. */
  waiting: boolean;
  readonly tools: Set<string>;
}

/**
 * Tells from Codex's notifications, in order, whether a request to the model may be in flight without an event so
 * far: only then does Codex refresh its tokens (within 5 minutes of their end, or on a 401). Covers all threads,
 * those of sub-agents too.
 */
export class RequestWatch {
  private readonly threads = new Map<string, ThreadWatch>();

  get mayRefresh(): boolean {
    for (const { waiting, tools } of this.threads.values()) if (waiting && tools.size === 0) return true;
    return false;
  }

  /** Records a running turn of unknown beginning. */
  assumeTurn(threadId: string): void {
    this.threads.set(threadId, { waiting: true, tools: new Set() });
  }

  /** The request in flight has ended. */
  settled(): void {
    for (const thread of this.threads.values()) thread.waiting = false;
  }

  seen(method: string, params: unknown): void {
    if (!isRecord(params) || typeof params['threadId'] !== 'string') return;
    const { threadId } = params;
    if (method === 'turn/started') return this.assumeTurn(threadId);
    const thread = this.threads.get(threadId);
    if (!thread) return;
    if (method === 'turn/completed') return void this.threads.delete(threadId);
    if (method === 'thread/tokenUsage/updated') thread.waiting = true;
    else if (method === 'error') thread.waiting = params['willRetry'] === true;
    else if (method === 'item/started') itemStarted(thread, params['item']);
    else if (method === 'item/completed') itemCompleted(thread, params['item']);
    // The model has begun to answer.
    else if (method.startsWith('item/')) thread.waiting = false;
  }
}

function itemStarted(thread: ThreadWatch, item: unknown): void {
  if (!isRecord(item)) return;
  const { type, id } = item;
  thread.waiting = BEFORE_A_REQUEST.has(String(type));
  if (TOOLS.has(String(type))) thread.tools.add(String(id));
}

function itemCompleted(thread: ThreadWatch, item: unknown): void {
  if (!isRecord(item)) return;
  const { type, id } = item;
  thread.tools.delete(String(id));
  if (TOOLS.has(String(type)) || BEFORE_A_REQUEST.has(String(type))) thread.waiting = true;
}
