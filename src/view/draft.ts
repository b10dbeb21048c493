import type { Progress, TokenUsage } from '../contract/status.js';
import type { Fields } from './fields.js';
import type { RequestItem, ViewItem, ViewState, ViewTurn } from './types.js';

/** A view while events go into it. */
export interface Draft {
  readonly items: ViewItem[];
  readonly turns: ViewTurn[];
  /** Places of items by their keys, and of turns by their ids. */
  readonly places: Map<string, number>;
  readonly turnPlaces: Map<string, number>;
  /** Keys of the open items of each turn. */
  readonly openIn: Map<string, Set<string>>;
  /** Keys of open requests, oldest first. */
  readonly waiting: Set<string>;
  /** Turns that run. */
  readonly running: Set<string>;
  /** Turns that a gap ended: what still comes of one tells that it went on. */
  readonly lost: Set<string>;
  /** The part of each reasoning that came last. */
  readonly parts: Map<string, string>;
  /** The item that was asked for last: most events are pieces of the same one. */
  newest: { readonly turnId: string; readonly itemId: string; readonly key: string };
  readonly usageOf: Map<string, TokenUsage>;
  readonly state: DraftState;
  changed: Changed;
}

export interface DraftState {
  lastId: number;
  isBegun: boolean;
  isRecovering: boolean;
  threadId: string | null;
  model: string | null;
  effort: string | null;
  controls: readonly Fields[];
  progress: Progress | null;
  parkedUntil: string | null;
  lastError: string | null;
  ended: ViewState['ended'];
}

/** What the event that is being taken changed. */
interface Changed {
  readonly items: number[];
  readonly turns: number[];
  requests: boolean;
  usage: boolean;
  state: boolean;
}

export const nothingChanged = (): Changed => ({
  items: [],
  turns: [],
  requests: false,
  usage: false,
  state: false,
});

export const emptyDraft = (): Draft => ({
  items: [],
  turns: [],
  places: new Map(),
  turnPlaces: new Map(),
  openIn: new Map(),
  waiting: new Set(),
  running: new Set(),
  lost: new Set(),
  parts: new Map(),
  newest: { turnId: '', itemId: '', key: 'item//' },
  usageOf: new Map(),
  state: {
    lastId: 0,
    isBegun: false,
    isRecovering: false,
    threadId: null,
    model: null,
    effort: null,
    controls: [],
    progress: null,
    parkedUntil: null,
    lastError: null,
    ended: null,
  },
  changed: nothingChanged(),
});

/** Names an item of codex: its id is unique in its turn. */
export function itemKey(draft: Draft, turnId: string, itemId: string): string {
  const { newest } = draft;
  if (newest.itemId === itemId && newest.turnId === turnId) return newest.key;
  const key = `item/${turnId}/${itemId}`;
  draft.newest = { turnId, itemId, key };
  return key;
}
export const requestKey = (requestId: string): string => `request/${requestId}`;

export function itemAt(draft: Draft, key: string): ViewItem | undefined {
  const place = draft.places.get(key);
  return place === undefined ? undefined : draft.items[place];
}

/** Adds an item, or puts it in the place of the one with its key. */
export function putItem(draft: Draft, item: ViewItem): void {
  let place = draft.places.get(item.key);
  if (place === undefined) {
    place = draft.items.length;
    draft.places.set(item.key, place);
  }
  const wasOpen = draft.items[place]?.isOpen ?? false;
  draft.items[place] = item;
  draft.changed.items.push(place);
  if (item.isOpen === wasOpen) return;
  const open = draft.openIn.get(item.turnId);
  if (!item.isOpen) open?.delete(item.key);
  else if (open) open.add(item.key);
  else draft.openIn.set(item.turnId, new Set([item.key]));
}

export function putTurn(draft: Draft, turn: ViewTurn): void {
  let place = draft.turnPlaces.get(turn.turnId);
  if (place === undefined) {
    place = draft.turns.length;
    draft.turnPlaces.set(turn.turnId, place);
  }
  draft.turns[place] = turn;
  draft.changed.turns.push(place);
  if (turn.status === 'inProgress' && !turn.isHistory) draft.running.add(turn.turnId);
  else draft.running.delete(turn.turnId);
}

export function turnAt(draft: Draft, turnId: string): ViewTurn | undefined {
  const place = draft.turnPlaces.get(turnId);
  return place === undefined ? undefined : draft.turns[place];
}

/** Ends what is open of a turn without codex's word. Requests end by their own events. */
export function cutItems(draft: Draft, turnId: string): void {
  for (const key of [...(draft.openIn.get(turnId) ?? [])]) {
    const item = itemAt(draft, key);
    if (item && item.kind !== 'request') putItem(draft, { ...item, isOpen: false, isCut: true });
  }
}

export function putRequest(draft: Draft, item: RequestItem): void {
  putItem(draft, item);
  if (item.answer === null) draft.waiting.add(item.key);
  else draft.waiting.delete(item.key);
  draft.changed.requests = true;
}

/** Changes a part of the state. */
export function setState(draft: Draft, part: Partial<DraftState>): void {
  Object.assign(draft.state, part);
  draft.changed.state = true;
}
