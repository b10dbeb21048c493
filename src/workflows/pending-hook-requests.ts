import { BUDGETS, firstWithin, jsonBytes } from '../budgets/budgets.js';
import type { Deliverable, HookRequest } from '../contract/index.js';
import type { Kept, Moved } from '../contract/activities.js';
import { openFifo } from './fifo.js';
import type { Fifo } from './fifo.js';
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
  carry(): CarriedHookRequests;
}

/** Hook requests of one kind that are in the database. */
export type KeptHookRequests = Kept & { kind: HookRequest['kind']; ids: string[] };

/** Hook requests as they go into the next run of the workflow. */
export interface CarriedHookRequests {
  seen: string[];
  waiting: Waiting[];
  deliverables: Deliverable[];
  omitted: number;
}

export function openPendingHookRequests(carried?: CarriedHookRequests): PendingHookRequests {
  const seen = openIdMemory(REMEMBERED, carried?.seen);
  const delivered = new Map<string, Deliverable>(carried?.deliverables.map((each) => [each.path, each]));
  let deliveredBytes = jsonBytes([...delivered.values()]);
  let omitted = carried?.omitted ?? 0;
  const waitingOf = (kind: Kind) =>
    openFifo(carried?.waiting.filter((hookRequest) => hookRequest.kind === kind));
  const waiting: Record<Kind, Fifo<Waiting>> = {
    deliverable: waitingOf('deliverable'),
    callerMessage: waitingOf('callerMessage'),
    upload: waitingOf('upload'),
  };
  const allWaiting = () => Object.values(waiting).flatMap((hookRequests) => [...hookRequests]);
  const inHand = new Set<string>();
  const deliver = ({ path, bytes, sha256, contentType }: Deliverable) => {
    const told = { path, bytes, sha256, contentType };
    const known = delivered.get(path);
    const size = deliveredBytes + jsonBytes(told) + 1 - (known ? jsonBytes(known) + 1 : 0);
    if (!known && size > BUDGETS.deliverables) return void omitted++;
    deliveredBytes = size;
    delivered.set(path, told);
  };
  return {
    take(hookRequest) {
      if (!seen.add(hookRequest.id)) return;
      waiting[hookRequest.kind].push(hookRequest);
      if (hookRequest.kind === 'deliverable') deliver(hookRequest.deliverable);
    },
    next(kind) {
      const next = waiting[kind].shift();
      if (next && !isKept(next)) inHand.add(next.id);
      return next;
    },
    done: ({ id }) => void inHand.delete(id),
    giveBack(hookRequest) {
      inHand.delete(hookRequest.id);
      waiting[hookRequest.kind].unshift(hookRequest);
    },
    get isBusy() {
      return inHand.size > 0;
    },
    has: (kind) => waiting[kind].size > 0,
    deliverables: () => [...delivered.values()],
    get omitted() {
      return omitted;
    },
    known() {
      const open = new Set([
        ...inHand,
        ...allWaiting().flatMap((each) => (isKept(each) ? each.ids : [each.id])),
      ]);
      const settled = seen.carry().filter((id) => !open.has(id));
      return {
        open: firstWithin([...open], BUDGETS.rememberedIds).kept,
        settled: firstWithin(settled.slice(-TOLD_SETTLED).reverse(), BUDGETS.rememberedIds).kept.reverse(),
      };
    },
    async keepWaiting(store) {
      const loose = (kind: Kind) => [...waiting[kind]].filter((each): each is HookRequest => !isKept(each));
      const kinds = Object.keys(waiting) as Kind[];
      const sizes = new Map(kinds.map((kind) => [kind, jsonBytes(loose(kind))]));
      const kind = kinds.toSorted((a, b) => sizes.get(b)! - sizes.get(a)!)[0]!;
      const put = loose(kind);
      if (put.length < 2) return false;
      const kept = await store(put);
      if (!kept) return false;
      const gone = new Set<Waiting>(put);
      const ids = put.map(({ id }) => id);
      const batch: KeptHookRequests = { ...kept, kind, ids: firstWithin(ids, KEPT_IDS_BYTES).kept };
      // What came meanwhile is behind it.
      const rest = [...waiting[kind]].filter((each) => !gone.has(each));
      const earlier = rest.filter(isKept);
      waiting[kind] = openFifo<Waiting>([...earlier, batch, ...rest.filter((each) => !isKept(each))]);
      return true;
    },
    restore({ kind }, hookRequests) {
      for (const hookRequest of [...hookRequests].reverse()) waiting[kind].unshift(hookRequest);
    },
    get kept() {
      return allWaiting().flatMap((each) => (isKept(each) ? [{ blobIds: each.blobIds }] : []));
    },
    carry: () => ({
      seen: seen.carry(),
      waiting: allWaiting(),
      deliverables: [...delivered.values()],
      omitted,
    }),
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
