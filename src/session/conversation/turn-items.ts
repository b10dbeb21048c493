import type { ThreadItem } from '../../codex/protocol.js';

/** An open item of the running turn. */
interface OpenItem {
  readonly item: ThreadItem;
  readonly deltas: string[];
  isCut: boolean;
  /** It began before this process, so its deltas are incomplete. */
  isStale: boolean;
}

/** Items that Codex ends by itself even after an interrupt; the others are cut with their stream. */
const SELF_ENDING = new Set(['commandExecution', 'fileChange', 'mcpToolCall', 'dynamicToolCall']);

/** How many items of each kind are kept for later requests. */
const REMEMBERED = 200;

/** Follows the items of the running turn, so that each ends before its turn does. */
export class TurnItems {
  private readonly open = new Map<string, OpenItem>();
  private readonly changes = new Map<string, unknown>();
  /** Ids of commands, which may run on as terminals after their turn. */
  private readonly commands = new Map<string, string>();

  /** Whether an open item is left that Codex can still be expected to end. */
  get expectsEnd(): boolean {
    for (const { item, isCut } of this.open.values()) if (!isCut && SELF_ENDING.has(item.type)) return true;
    return false;
  }

  started(item: ThreadItem): void {
    this.open.set(item.id, { item, deltas: [], isCut: false, isStale: false });
    this.known(item);
  }

  /** Remembers what a request may be about, in any thread. */
  known(item: ThreadItem): void {
    if (item.type === 'fileChange') remember(this.changes, item.id, item.changes);
    if (item.type === 'commandExecution' && typeof item.command === 'string')
      remember(this.commands, item.id, item.command);
  }

  /** Adds an item that began before this process. */
  recalled(item: ThreadItem): void {
    this.started(item);
    this.open.get(item.id)!.isStale = true;
  }

  /** The open items, with their text so far. */
  openNow(): ThreadItem[] {
    return [...this.open.values()].map(({ item, deltas }) =>
      item.type === 'agentMessage' ? { ...item, text: `${item.text}${deltas.join('')}` } : item,
    );
  }

  /** Takes a delta; `false`: earlier ones were missed, so the item's end must bring the whole. */
  delta(itemId: string, text: string): boolean {
    const open = this.open.get(itemId);
    if (!open || open.isStale) return false;
    open.deltas.push(text);
    return true;
  }

  /** An item that Codex does not end: it is still waiting for approval. */
  cut(itemId: unknown): void {
    const item = typeof itemId === 'string' ? this.open.get(itemId) : undefined;
    if (item) item.isCut = true;
  }

  completed(item: ThreadItem): void {
    this.open.delete(item.id);
  }

  /** Changes of a file change item: its approval request has none. */
  changesOf(itemId: unknown): unknown {
    return typeof itemId === 'string' ? this.changes.get(itemId) : undefined;
  }

  /** The command of an item, even after its turn. */
  commandOf(itemId: unknown): string | undefined {
    return typeof itemId === 'string' ? this.commands.get(itemId) : undefined;
  }

  /** Ends every open item by an event of our own, and forgets the turn. */
  close(threadId: string, turnId: string): string[] {
    const events = [...this.open.values()].map(({ item, deltas }) =>
      JSON.stringify({
        method: 'item/completed',
        params: { threadId, turnId, item: { ...item, ...endOf(item, deltas) } },
        'x-optio-cut': true,
        'x-optio-at': Date.now(),
      }),
    );
    this.open.clear();
    return events;
  }
}

function remember<T>(known: Map<string, T>, id: string, value: T): void {
  known.set(id, value);
  if (known.size > REMEMBERED) known.delete(known.keys().next().value!);
}

/** The end of a turn whose Codex is gone or hangs, as an event of our own. */
export const cutTurn = (threadId: string, id: string): string =>
  JSON.stringify({
    method: 'turn/completed',
    params: { threadId, turn: { id, items: [], status: 'interrupted', error: null } },
    'x-optio-cut': true,
    'x-optio-at': Date.now(),
  });

function endOf(item: ThreadItem, deltas: string[]): Record<string, unknown> {
  if (item.type === 'agentMessage') return { text: `${item.text}${deltas.join('')}` };
  return 'status' in item ? { status: 'failed' } : {};
}
