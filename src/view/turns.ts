import { cutItems, itemAt, itemKey, putItem, putTurn, setState, turnAt, type Draft } from './draft.js';
import { numberOrNull, objectOf, textOf, textOrNull, type Fields } from './fields.js';
import { itemOf, stepsOf } from './items.js';
import type { ViewTurn } from './types.js';

/** What is said of an event beside its parameters. */
export interface About {
  readonly threadId: string;
  readonly turnId: string;
  readonly at: number | null;
  readonly isHistory: boolean;
  readonly isCut: boolean;
  /** It came after its turn's end. */
  readonly isLate: boolean;
}

export function showTurnStart(draft: Draft, about: About, turn: Fields): void {
  if (about.turnId === '' || turnAt(draft, about.turnId)) return goOn(draft, about);
  putTurn(draft, { ...newTurn(about), startedAt: startOf(about, turn) });
}

/** A turn is known from the first of its events, and goes on after a gap with the next one. */
export function goOn(draft: Draft, about: About): void {
  const { turnId, isLate } = about;
  if (isLate || turnId === '') return;
  const known = turnAt(draft, turnId);
  if (!known) putTurn(draft, newTurn(about));
  else if (draft.lost.delete(turnId))
    putTurn(draft, { ...known, status: 'inProgress', isCut: false, endedAt: null });
}

export function endTurn(draft: Draft, about: About, turn: Fields): void {
  const { turnId, at, isCut, isHistory } = about;
  if (turnId === '') return;
  draft.lost.delete(turnId);
  const known = turnAt(draft, turnId) ?? newTurn(about);
  const status = textOf(turn['status']);
  const error = textOrNull(objectOf(turn['error'])['message']);
  const seconds = numberOrNull(turn['completedAt']);
  const endedAt = at ?? (seconds === null ? null : seconds * 1_000);
  cutItems(draft, turnId);
  putTurn(draft, {
    ...known,
    startedAt: known.startedAt ?? startOf(about, turn),
    status,
    error,
    endedAt,
    isCut,
  });
  const key = `turn/${turnId}`;
  putItem(draft, { key, kind: 'turn', status, error, isOpen: false, ...placeOf(about) });
  if (error !== null && !isHistory) setState(draft, { lastError: error });
}

export function startItem(draft: Draft, about: About, item: Fields): void {
  goOn(draft, about);
  const id = textOf(item['id']);
  const key = itemKey(draft, about.turnId, id);
  if (id === '' || itemAt(draft, key)) return;
  putItem(draft, itemOf({ key, isOpen: !about.isLate, ...placeOf(about) }, item));
}

export function endItem(draft: Draft, about: About, item: Fields): void {
  goOn(draft, about);
  const id = textOf(item['id']);
  if (id === '') return;
  const key = itemKey(draft, about.turnId, id);
  const at = itemAt(draft, key)?.at ?? about.at;
  putItem(draft, itemOf({ key, isOpen: false, ...placeOf(about, at) }, item));
}

/** The plan of a turn is one item, as it is now. */
export function setPlan(draft: Draft, about: About, params: Fields): void {
  goOn(draft, about);
  const key = `plan/${about.turnId}`;
  const steps = stepsOf(params['plan']);
  const at = itemAt(draft, key)?.at ?? about.at;
  const text = textOf(params['explanation']);
  putItem(draft, { key, isOpen: false, kind: 'plan', text, steps, ...placeOf(about, at) });
}

export function setDiff(draft: Draft, about: About, params: Fields): void {
  goOn(draft, about);
  const turn = turnAt(draft, about.turnId);
  if (turn) putTurn(draft, { ...turn, diff: textOf(params['diff']) });
}

/** Ends whatever is open without codex's word: its events are lost, or there are no more. */
export function cutAll(draft: Draft, isLost: boolean): void {
  for (const turnId of [...draft.running]) {
    if (isLost) draft.lost.add(turnId);
    putTurn(draft, { ...turnAt(draft, turnId)!, status: 'interrupted', isCut: true });
  }
  for (const turnId of [...draft.openIn.keys()]) cutItems(draft, turnId);
}

export const placeOf = (about: About, at = about.at) => ({
  threadId: about.threadId,
  turnId: about.turnId,
  at,
  isCut: about.isCut,
  isHistory: about.isHistory,
});

const startOf = ({ at, isHistory }: About, turn: Fields): number | null => {
  const seconds = numberOrNull(turn['startedAt']);
  if (isHistory) return seconds === null ? null : seconds * 1_000;
  return at ?? (seconds === null ? null : seconds * 1_000);
};

const newTurn = ({ turnId, threadId, isHistory }: About): ViewTurn => ({
  turnId,
  threadId,
  status: 'inProgress',
  error: null,
  startedAt: null,
  endedAt: null,
  isCut: false,
  isHistory,
  diff: '',
});
