import { emptyDraft, nothingChanged, itemAt, type Draft } from './draft.js';
import { objectOf } from './fields.js';
import { takeEvent } from './take-event.js';
import { usageOf } from './usage.js';
import type { RequestItem, View, ViewChanges, ViewEvent, ViewSnapshot, ViewState } from './types.js';

/** A view without events: give it those of one task, in their order, from the first or from wherever a reader begins. */
export function createView(): View {
  const draft = emptyDraft();
  let requests: readonly RequestItem[] | null = [];
  let state: ViewState | null = null;
  let snapshot: ViewSnapshot | null = null;

  const view: View = {
    apply({ id, event }: ViewEvent): ViewChanges {
      if (!Number.isSafeInteger(id) || id <= draft.state.lastId) return NO_CHANGES;
      const before = phaseOf(draft);
      draft.changed = nothingChanged();
      takeEvent(draft, id, objectOf(event));
      draft.state.lastId = id;
      const { changed } = draft;
      changed.state ||= phaseOf(draft) !== before;
      if (changed.requests) requests = null;
      state = snapshot = null;
      return changed;
    },
    items: draft.items,
    turns: draft.turns,
    get requests() {
      return (requests ??= openRequests(draft));
    },
    get usage() {
      return usageOf(draft);
    },
    get state() {
      return (state ??= stateOf(draft));
    },
    snapshot() {
      const { items, turns, usage } = view;
      return (snapshot ??= {
        items: [...items],
        turns: [...turns],
        requests: view.requests,
        usage,
        state: view.state,
      });
    },
  };
  return view;
}

const NO_CHANGES: ViewChanges = Object.freeze({ ...nothingChanged(), items: [], turns: [] });

function openRequests(draft: Draft): RequestItem[] {
  return [...draft.waiting].flatMap((key) => {
    const item = itemAt(draft, key);
    return item?.kind === 'request' ? [item] : [];
  });
}

function stateOf(draft: Draft): ViewState {
  const { lastId, threadId, model, effort, controls, progress, parkedUntil, lastError, ended } = draft.state;
  const phase = phaseOf(draft);
  return { phase, lastId, threadId, model, effort, controls, progress, parkedUntil, lastError, ended };
}

function phaseOf(draft: Draft): ViewState['phase'] {
  const { ended, parkedUntil, isBegun, isRecovering } = draft.state;
  if (ended) return 'closed';
  if (parkedUntil !== null) return 'parked';
  if (isRecovering) return 'recovering';
  if (draft.waiting.size > 0) return 'waiting-for-permission';
  if (draft.running.size > 0) return 'running';
  return isBegun ? 'idle' : 'starting';
}
