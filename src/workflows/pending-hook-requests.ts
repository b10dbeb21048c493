import { BUDGETS, firstWithin, jsonBytes } from '../budgets/budgets.js';
import type { Deliverable, HookRequest } from '../contract/index.js';
import type { Kept, PreviousHost } from '../contract/activities.js';
import { openIdMemory, type IdMemory } from './id-memory.js';

/** Stored hook requests of one kind. */
export type KeptHookRequests = Kept & { kind: HookRequest['kind']; ids: string[] };

/** The state as plain JSON. */
export interface HookRequestsState {
  /** Ids of all requests, oldest first. */
  seen: string[];
  /** In the order of asking, each kind on its own. */
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

type Waiting = HookRequest | KeptHookRequests;

export const isKept = (waiting: Waiting): waiting is KeptHookRequests => 'blobIds' in waiting;

/** How many hook requests are remembered, so that a repeated one changes nothing. */
const REMEMBERED = { count: 4_000, bytes: BUDGETS.hookRequestIds };

/** How many ids of stored requests are known here. */
const KEPT_IDS_BYTES = 8_192;

/** How many ids of answered requests go to the next host, newest first: an argument must stay small. */
const TOLD_SETTLED = 2_000;

type Kind = HookRequest['kind'];
const KINDS: readonly Kind[] = ['deliverable', 'callerMessage', 'upload'];

/** What the host asks the task's hooks, in the order in which it came. */
export class PendingHookRequests {
  readonly #seen: IdMemory;
  readonly #delivered: DeliveredFiles;
  readonly #inHand = new Set<string>();

  /** @param state what is known of them, which is kept up to date */
  constructor(private readonly state: HookRequestsState = noHookRequests()) {
    this.#seen = openIdMemory(REMEMBERED, state.seen);
    this.#delivered = new DeliveredFiles(state);
  }

  /** Takes a hook request once by its id. */
  take(hookRequest: HookRequest): void {
    if (!this.#seen.add(hookRequest.id)) return;
    this.state.waiting.push(hookRequest);
    if (hookRequest.kind === 'deliverable') this.#delivered.add(hookRequest.deliverable);
  }

  /** The oldest of this kind that nobody has in hand. */
  next(kind: Kind): HookRequest | KeptHookRequests | undefined {
    const { waiting } = this.state;
    const at = waiting.findIndex((each) => each.kind === kind);
    const [next] = at === -1 ? [] : waiting.splice(at, 1);
    if (next && !isKept(next)) this.#inHand.add(next.id);
    return next;
  }

  has(kind: Kind): boolean {
    return this.state.waiting.some((each) => each.kind === kind);
  }

  /** It has its answer. */
  done({ id }: HookRequest): void {
    this.#inHand.delete(id);
  }

  /** Nobody has it in hand any more. */
  giveBack(hookRequest: HookRequest): void {
    this.#inHand.delete(hookRequest.id);
    this.state.waiting.unshift(hookRequest);
  }

  /** Whether somebody has one in hand. */
  get isBusy(): boolean {
    return this.#inHand.size > 0;
  }

  /** Everything that was delivered, as far as it may be told; a file that came again is in its first place. */
  deliverables(): Deliverable[] {
    return [...this.state.deliverables];
  }

  /** Files that were delivered and are not among them. */
  get omitted(): number {
    return this.state.omitted;
  }

  /** Their ids, for a host that did not bring them. */
  known(): NonNullable<PreviousHost['hookRequests']> {
    const { seen, waiting } = this.state;
    const open = new Set([
      ...this.#inHand,
      ...waiting.flatMap((each) => (isKept(each) ? each.ids : [each.id])),
    ]);
    const settled = seen.filter((id) => !open.has(id));
    return {
      open: firstWithin([...open], BUDGETS.rememberedIds).kept,
      settled: firstWithin(settled.slice(-TOLD_SETTLED).reverse(), BUDGETS.rememberedIds).kept.reverse(),
    };
  }

  /**
   * Has the longest queue of what waits put aside by `store`; null from it: that cannot be. False: there is nothing to put
   * aside, or it cannot be.
   */
  async keepWaiting(store: (hookRequests: HookRequest[]) => Promise<Kept | null>): Promise<boolean> {
    const sizes = new Map(KINDS.map((kind) => [kind, jsonBytes(this.#loose(kind))]));
    const kind = KINDS.toSorted((a, b) => sizes.get(b)! - sizes.get(a)!)[0]!;
    const put = this.#loose(kind);
    if (put.length < 2) return false;
    const kept = await store(put);
    if (!kept) return false;
    const gone = new Set<Waiting>(put);
    const ids = put.map(({ id }) => id);
    const batch: KeptHookRequests = { ...kept, kind, ids: firstWithin(ids, KEPT_IDS_BYTES).kept };
    // What came meanwhile is behind it.
    const rest = this.state.waiting.filter((each) => !gone.has(each));
    this.state.waiting = [...rest.filter(isKept), batch, ...rest.filter((each) => !isKept(each))];
    return true;
  }

  /** What was put aside and comes back when it is its turn: back to the front of its queue. */
  restore(_kept: KeptHookRequests, hookRequests: readonly HookRequest[]): void {
    this.state.waiting.unshift(...hookRequests);
  }

  /** What is put aside. */
  get kept(): Kept[] {
    return this.state.waiting.flatMap((each) => (isKept(each) ? [{ blobIds: each.blobIds }] : []));
  }

  #loose(kind: Kind): HookRequest[] {
    return this.state.waiting.filter((each): each is HookRequest => each.kind === kind && !isKept(each));
  }
}

/** The files that were delivered, within their budget. */
class DeliveredFiles {
  readonly #placeOf: Map<string, number>;
  #bytes: number;

  constructor(private readonly state: Pick<HookRequestsState, 'deliverables' | 'omitted'>) {
    this.#placeOf = new Map(state.deliverables.map(({ path }, at) => [path, at]));
    this.#bytes = jsonBytes(state.deliverables);
  }

  /** Takes a file, in its first place when it came before; one for which there is no room is counted. */
  add({ path, bytes, sha256, contentType }: Deliverable): void {
    const { deliverables } = this.state;
    const told = { path, bytes, sha256, contentType };
    const at = this.#placeOf.get(path);
    const known = at === undefined ? undefined : deliverables[at];
    const size = this.#bytes + jsonBytes(told) + 1 - (known ? jsonBytes(known) + 1 : 0);
    if (!known && size > BUDGETS.deliverables) return void this.state.omitted++;
    this.#bytes = size;
    this.#placeOf.set(path, at ?? deliverables.length);
    deliverables[at ?? deliverables.length] = told;
  }
}
