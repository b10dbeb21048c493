import { BUDGETS, firstWithin, jsonBytes } from '../budgets/budgets.js';
import type { Deliverable, HookRequest } from '../contract/index.js';
import type { Kept, Moved } from '../contract/activities.js';
import { openIdMemory } from './id-memory.js';

/** What the host asks the task's hooks, in the order in which it came. */
export interface PendingHookRequests {
  /** Takes a hook request once by its id. */
  take(hookRequest: HookRequest): void;
  /** The oldest of this kind that nobody has in hand. */
  next(kind: HookRequest['kind']): HookRequest | KeptHookRequests | undefined;
  has(kind: HookRequest['kind']): boolean;
  /** It has its answer. */
  done(hookRequest: HookRequest): void;
  /** Nobody has it in hand any more. */
  giveBack(hookRequest: HookRequest): void;
  /** Whether somebody has one in hand. */
  readonly isBusy: boolean;
  /** Everything that was delivered, as far as it may be told; a file that came again is in its first place. */
  deliverables(): Deliverable[];
  /** Files that were delivered and are not among them. */
  readonly omitted: number;
  /** Their ids, for a host that did not bring them. */
  known(): NonNullable<Moved['hookRequests']>;
  /**
   * Has the longest queue of what waits put aside by `store`; null from it: that cannot be. False: there is nothing to put
   * aside, or it cannot be.
   */
  keepWaiting(store: (hookRequests: HookRequest[]) => Promise<Kept | null>): Promise<boolean>;
  /** What was put aside and comes back when it is its turn: back to the front of its queue. */
  restore(kept: KeptHookRequests, hookRequests: readonly HookRequest[]): void;
  /** What is put aside. */
  readonly kept: Kept[];
}

/** Hook requests of one kind that are in the database. */
export type KeptHookRequests = Kept & { kind: HookRequest['kind']; ids: string[] };

/** What is known of them, as plain JSON. */
export interface HookRequestsState {
  /** Ids of all that came, oldest first. */
  seen: string[];
  /** In the order in which they are asked, each kind for itself. */
  waiting: Waiting[];
  deliverables: Deliverable[];
  omitted: number;
}

export const noHookRequests = (): HookRequestsState => ({
  seen: [],
  waiting: [],
  deliverables: [],
  omitted: 0,
});

/** @param state what is known of them, which is kept up to date */
export function openPendingHookRequests(state: HookRequestsState = noHookRequests()): PendingHookRequests {
  const seen = openIdMemory(REMEMBERED, state.seen);
  const placeOf = new Map(state.deliverables.map(({ path }, at) => [path, at]));
  let deliveredBytes = jsonBytes(state.deliverables);
  const inHand = new Set<string>();
  const deliver = ({ path, bytes, sha256, contentType }: Deliverable) => {
    const { deliverables } = state;
    const told = { path, bytes, sha256, contentType };
    const at = placeOf.get(path);
    const known = at === undefined ? undefined : deliverables[at];
    const size = deliveredBytes + jsonBytes(told) + 1 - (known ? jsonBytes(known) + 1 : 0);
    if (!known && size > BUDGETS.deliverables) return void state.omitted++;
    deliveredBytes = size;
    placeOf.set(path, at ?? deliverables.length);
    deliverables[at ?? deliverables.length] = told;
  };
  return {
    take(hookRequest) {
      if (!seen.add(hookRequest.id)) return;
      state.waiting.push(hookRequest);
      if (hookRequest.kind === 'deliverable') deliver(hookRequest.deliverable);
    },
    next(kind) {
      const at = state.waiting.findIndex((each) => each.kind === kind);
      const [next] = at === -1 ? [] : state.waiting.splice(at, 1);
      if (next && !isKept(next)) inHand.add(next.id);
      return next;
    },
    done: ({ id }) => void inHand.delete(id),
    giveBack(hookRequest) {
      inHand.delete(hookRequest.id);
      state.waiting.unshift(hookRequest);
    },
    get isBusy() {
      return inHand.size > 0;
    },
    has: (kind) => state.waiting.some((each) => each.kind === kind),
    deliverables: () => [...state.deliverables],
    get omitted() {
      return state.omitted;
    },
    known() {
      const open = new Set([
        ...inHand,
        ...state.waiting.flatMap((each) => (isKept(each) ? each.ids : [each.id])),
      ]);
      const settled = state.seen.filter((id) => !open.has(id));
      return {
        open: firstWithin([...open], BUDGETS.rememberedIds).kept,
        settled: firstWithin(settled.slice(-TOLD_SETTLED).reverse(), BUDGETS.rememberedIds).kept.reverse(),
      };
    },
    async keepWaiting(store) {
      const loose = (kind: Kind) =>
        state.waiting.filter((each): each is HookRequest => each.kind === kind && !isKept(each));
      const sizes = new Map(KINDS.map((kind) => [kind, jsonBytes(loose(kind))]));
      const kind = KINDS.toSorted((a, b) => sizes.get(b)! - sizes.get(a)!)[0]!;
      const put = loose(kind);
      if (put.length < 2) return false;
      const kept = await store(put);
      if (!kept) return false;
      const gone = new Set<Waiting>(put);
      const ids = put.map(({ id }) => id);
      const batch: KeptHookRequests = { ...kept, kind, ids: firstWithin(ids, KEPT_IDS_BYTES).kept };
      // What came meanwhile is behind it.
      const rest = state.waiting.filter((each) => !gone.has(each));
      state.waiting = [...rest.filter(isKept), batch, ...rest.filter((each) => !isKept(each))];
      return true;
    },
    restore: (_, hookRequests) => void state.waiting.unshift(...hookRequests),
    get kept() {
      return state.waiting.flatMap((each) => (isKept(each) ? [{ blobIds: each.blobIds }] : []));
    },
  };
}

type Waiting = HookRequest | KeptHookRequests;

export const isKept = (waiting: Waiting): waiting is KeptHookRequests => 'blobIds' in waiting;

/** Hook requests that are remembered, so that one that is told again changes nothing. */
const REMEMBERED = { count: 5_000, bytes: BUDGETS.hookRequestIds };

/** Of those in the database so many ids are known here. */
const KEPT_IDS_BYTES = 8_192;

/** As many ids of answered ones go to a next host, newest first: an argument must stay small. */
const TOLD_SETTLED = 2_000;

type Kind = HookRequest['kind'];
const KINDS: readonly Kind[] = ['deliverable', 'callerMessage', 'upload'];
