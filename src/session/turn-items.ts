/** An item of the running turn that has begun and not ended. */
interface OpenItem {
  readonly item: Record<string, unknown> & { id: string; type: string };
  readonly deltas: string[];
}

/** Items that codex ends by itself even after an interrupt; the others were cut with their stream. */
const SELF_ENDING = new Set(['commandExecution', 'fileChange', 'mcpToolCall', 'dynamicToolCall']);

/** Follows the items of the running turn, so that each that began also ends before its turn does. */
export class TurnItems {
  private readonly open = new Map<string, OpenItem>();
  private readonly changes = new Map<string, unknown>();

  get size(): number {
    return this.open.size;
  }

  /** Whether something is open that codex can still be expected to end. */
  get expectsEnd(): boolean {
    return [...this.open.values()].some(({ item }) => SELF_ENDING.has(item.type));
  }

  started(item: unknown): void {
    if (!isItem(item)) return;
    this.open.set(item.id, { item, deltas: [] });
    if (item.type === 'fileChange') this.changes.set(item.id, item['changes']);
  }

  delta(itemId: string, text: string): void {
    this.open.get(itemId)?.deltas.push(text);
  }

  completed(item: unknown): void {
    if (isItem(item)) this.open.delete(item.id);
  }

  /** Changes of a file change item: its approval request carries none (codex 0.169.0). */
  changesOf(itemId: unknown): unknown {
    return typeof itemId === 'string' ? this.changes.get(itemId) : undefined;
  }

  /** Ends every open item by an event of our own, and forgets the turn. */
  close(threadId: string, turnId: string): string[] {
    const events = [...this.open.values()].map(({ item, deltas }) =>
      JSON.stringify({
        method: 'item/completed',
        params: { threadId, turnId, item: { ...item, ...endOf(item, deltas) } },
        'x-optio-cut': true,
      }),
    );
    this.open.clear();
    this.changes.clear();
    return events;
  }
}

function endOf(item: OpenItem['item'], deltas: string[]): Record<string, unknown> {
  if (item.type === 'agentMessage') return { text: `${text(item['text'])}${deltas.join('')}` };
  return 'status' in item ? { status: 'failed' } : {};
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');

function isItem(value: unknown): value is OpenItem['item'] {
  if (typeof value !== 'object' || value === null) return false;
  const item = value as Record<string, unknown>;
  return typeof item['id'] === 'string' && typeof item['type'] === 'string';
}
