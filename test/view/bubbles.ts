import type { ViewItem } from '../../src/view/index.js';

export interface Bubble {
  readonly who: 'user' | 'agent';
  readonly text: string;
}

/**
 * What the original's widget shows of a conversation, as its reducer does it: all that the agent says in a turn is one
 * bubble, until a step, a question or a message of the user comes between.
 */
export function bubblesOfWidget(events: readonly object[]): Bubble[] {
  const bubbles: Bubble[] = [];
  let open: number | null = null;
  const say = (text: string, whole = false) => {
    if (text === '') return;
    const said = open === null ? '' : bubbles[open]!.text;
    if (whole && open !== null && !text.startsWith(said)) return;
    open ??= bubbles.push({ who: 'agent', text: '' }) - 1;
    bubbles[open] = { who: 'agent', text: whole ? text : said + text };
  };
  for (const event of events as Wire[]) {
    const { method, id, params: { item, delta = '' } = {} } = event;
    const isTool = TOOLS.has(item?.type ?? '');
    if (event.type === 'x-optio-closed') open = null;
    if (method === undefined || event.type !== undefined) continue;
    if (id !== undefined && method.endsWith('/requestApproval')) open = null;
    else if (method === 'item/agentMessage/delta') say(delta);
    else if (method === 'item/completed' && item?.type === 'agentMessage') say(item.text ?? '', true);
    else if (method === 'item/completed' && item?.type === 'userMessage') {
      open = null;
      const text = item.text ?? (item.content ?? []).map((part) => part.text ?? '').join('');
      if (!text.startsWith('System: ')) bubbles.push({ who: 'user', text });
    } else if ((method === 'item/started' && isTool) || method === 'turn/completed') open = null;
    else if (method === 'item/completed' && isTool && !wasStarted(events, event)) open = null;
  }
  return bubbles;
}

interface Wire {
  type?: string;
  id?: unknown;
  method?: string;
  params?: {
    delta?: string;
    item?: { id?: string; type?: string; text?: string; content?: { text?: string }[] };
  };
}

const TOOLS = new Set(['commandExecution', 'fileChange', 'mcpToolCall', 'webSearch']);

const wasStarted = (events: readonly object[], ended: Wire): boolean =>
  (events as Wire[]).some(
    ({ method, params }) => method === 'item/started' && params?.item?.id === ended.params?.item?.id,
  );

/** The same out of a view. */
export function bubblesOfView(items: readonly ViewItem[]): Bubble[] {
  const bubbles: Bubble[] = [];
  let isOpen = false;
  for (const item of items) {
    if (item.kind === 'message' && item.role === 'agent') {
      if (item.text === '') continue;
      const last = isOpen ? bubbles.pop()!.text : '';
      bubbles.push({ who: 'agent', text: last + item.text });
      isOpen = true;
    } else if (item.kind === 'message') {
      isOpen = false;
      if (!item.text.startsWith('System: ')) bubbles.push({ who: 'user', text: item.text });
    } else if (item.kind !== 'reasoning' && item.kind !== 'plan' && item.kind !== 'notice')
      isOpen &&= item.kind === 'other' && item.type !== 'webSearch';
  }
  return bubbles;
}
