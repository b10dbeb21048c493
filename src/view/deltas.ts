import { itemAt, itemKey, putItem, type Draft } from './draft.js';
import { textOf, type Fields } from './fields.js';
import { changesOf, itemOf, PARAGRAPH } from './items.js';
import { goOn, placeOf, type About } from './turns.js';
import type { ViewItem } from './types.js';

/** What a piece belongs to, when its beginning was not seen. */
const TYPES: Readonly<Record<string, string>> = {
  'item/agentMessage/delta': 'agentMessage',
  'item/plan/delta': 'plan',
  'item/reasoning/summaryTextDelta': 'reasoning',
  'item/reasoning/textDelta': 'reasoning',
  'item/fileChange/patchUpdated': 'fileChange',
  'item/mcpToolCall/progress': 'mcpToolCall',
};

export const isPiece = (method: string): boolean =>
  method === 'item/agentMessage/delta' || Object.hasOwn(TYPES, method);

/**
 * Adds a piece to its item. An item that ended keeps what its end brought, and one whose pieces may be incomplete waits
 * for it: text stays a prefix of the whole.
 * @param about what the event says beside, asked for only where the item is new or its turn may have to go on
 */
export function applyPiece(draft: Draft, method: string, params: Fields, about: () => About): void {
  const id = textOf(params['itemId']);
  if (id === '') return;
  const key = itemKey(draft, textOf(params['turnId']), id);
  let item = itemAt(draft, key);
  if (!item || draft.lost.size > 0) {
    const said = about();
    goOn(draft, said);
    if (!item && said.isLate) return;
    item ??= itemOf({ key, isOpen: true, ...placeOf(said) }, { id, type: TYPES[method] });
  }
  const grown = item.isOpen ? withPiece(draft, item, method, params) : null;
  if (grown) putItem(draft, grown);
}

function withPiece(draft: Draft, item: ViewItem, method: string, params: Fields): ViewItem | null {
  const delta = textOf(params['delta']);
  switch (item.kind) {
    case 'message':
    case 'plan':
      return delta === '' ? null : { ...item, text: item.text + delta };
    case 'reasoning': {
      if (delta === '') return null;
      const isText = method === 'item/reasoning/textDelta';
      const part = textOf(params[isText ? 'contentIndex' : 'summaryIndex']);
      const begins = isNewPart(draft, `${isText ? 'text' : 'summary'}/${item.key}`, part);
      const more = (text: string) => text + (begins && text !== '' ? PARAGRAPH : '') + delta;
      return isText ? { ...item, text: more(item.text) } : { ...item, summary: more(item.summary) };
    }
    case 'fileChange':
      return { ...item, changes: changesOf(params['changes']) };
    case 'mcp':
      return { ...item, progress: textOf(params['message']) };
    default:
      return null;
  }
}

/** Parts of a reasoning come one after the other. */
function isNewPart({ parts }: Draft, name: string, part: string): boolean {
  if (parts.get(name) === part) return false;
  parts.set(name, part);
  return true;
}
