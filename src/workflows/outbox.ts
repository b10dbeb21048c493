import { BUDGETS, CODEC_BYTES, firstWithin, jsonBytes } from '../budgets/budgets.js';
import type { ControlChange, HookRequestAnswer, PermissionDecision, TaskMessage } from '../contract/index.js';
import type {
  Delivery,
  DeliveryKind,
  DeliveryPart,
  Kept,
  KeptBatch,
  TaskRef,
} from '../contract/activities.js';
import { openIdMemory } from './id-memory.js';
import {
  add,
  emptyDelivery,
  idsOf,
  levelOf,
  levelToKeep,
  messagesOf,
  nameOf,
  withId,
} from './outbox-parts.js';

/** What signals and hooks have for the session, in the order in which it came, until a delivery takes it to the host. */
export interface Outbox {
  readonly isEmpty: boolean;
  /** Of messages that wait. */
  readonly ids: string[];
  /** Of settings that wait. */
  readonly controls: string[];
  /** Takes a message once by its id; `false`: it was here before. */
  message(message: TaskMessage): boolean;
  /** Whether a message of this id was taken and has left. */
  hasSent(messageId: string): boolean;
  decision(decision: PermissionDecision): void;
  control(change: ControlChange): void;
  answer(answer: HookRequestAnswer): void;
  interrupt(): void;
  /** The oldest of what waits, as much as one delivery may hold. */
  take(ref: TaskRef): Delivery;
  /** Takes back what the last delivery had and did not arrive. */
  giveBack(): void;
  /** Nobody is there to take decisions any more: forgets them, and names their requests. */
  dropDecisions(): string[];
  /** The oldest of what waits that is too large for a delivery; `any`: the oldest that is not in the database, large or not. */
  toKeep(any: boolean): DeliveryPart[];
  /** These are in the database now; null: nobody could take them, and they are lost. Names them. */
  keep(parts: readonly DeliveryPart[], kept: Kept | null): string[];
  /** What of it is in the database. */
  readonly kept: KeptBatch[];
  /** The oldest, when it is a batch of batches: it has to be expanded before it is delivered. */
  readonly toExpand: KeptBatch | null;
  /** Puts what was in it in its place. */
  expand(batch: KeptBatch, parts: readonly DeliveryPart[]): void;
  /** Drops the newest of what waits. False: there is nothing more. */
  dropNewest(): boolean;
}

/** What is known of it, as plain JSON. */
export interface OutboxState {
  /** Oldest first. */
  waiting: DeliveryPart[];
  closeSent: boolean;
  /** Ids of messages that were taken, oldest first. */
  seen: string[];
}

const MESSAGE_IDS = { count: 1_000, bytes: BUDGETS.rememberedIds };
/** What a delivery has beside its parts: ids, names of members, the close. */
const FRAME_BYTES = 4_096;
/** The name of its kind in `order`, and commas. */
const AROUND = 16;
/** Of a batch so many ids of its messages are known here. */
const BATCH_IDS_BYTES = 512;

export const emptyOutbox = (): OutboxState => ({ waiting: [], closeSent: false, seen: [] });

/**
 * @param newId makes ids of what has none of its own, so that a repeated delivery does it once
 * @param state what is known of it, which is kept up to date
 */
export function openOutbox(
  isClosing: () => boolean,
  newId: () => string,
  state: OutboxState = emptyOutbox(),
): Outbox {
  const seen = openIdMemory(MESSAGE_IDS, state.seen);
  /** What the last delivery took. */
  let taken: DeliveryPart[] = [];
  const sizes = new WeakMap<DeliveryPart, number>();
  const bytesOf = (part: DeliveryPart) => {
    const bytes = sizes.get(part) ?? jsonBytes(part);
    sizes.set(part, bytes);
    return bytes;
  };
  const push = (part: DeliveryPart) => void state.waiting.push(part);
  state.waiting = state.waiting.map((part) => withId(part, newId));

  return {
    get isEmpty() {
      return isClosing() ? state.closeSent : state.waiting.length === 0;
    },
    get ids() {
      return state.waiting.flatMap(idsOf);
    },
    get controls() {
      return state.waiting.flatMap((part) => (part.kind === 'control' ? [part.value.id] : []));
    },
    message(value) {
      const isNew = seen.add(value.messageId);
      if (isNew) push({ kind: 'message', value });
      return isNew;
    },
    hasSent(messageId) {
      return seen.has(messageId) && !state.waiting.flatMap(idsOf).includes(messageId);
    },
    decision: (value) => push({ kind: 'decision', value }),
    control(value) {
      const last = state.waiting.at(-1);
      // Nothing came between: the one before would have no effect.
      if (last?.kind === 'control' && last.value.id === value.id) state.waiting.pop();
      push({ kind: 'control', value: { ...value, changeId: newId() } });
    },
    answer: (value) => push({ kind: 'answer', value }),
    interrupt() {
      if (state.waiting.at(-1)?.kind !== 'interrupt')
        push({ kind: 'interrupt', value: { interruptId: newId() } });
    },
    take(ref) {
      const delivery = emptyDelivery(ref);
      let left = BUDGETS.delivery - CODEC_BYTES - FRAME_BYTES;
      let messages = 0;
      if (isClosing()) {
        state.closeSent = delivery.close = true;
        // A session that closes begins nothing: its messages stay here, for those who ask what became of them.
        taken = state.waiting.filter(
          (part) => AT_CLOSE.has(part.kind) && (left -= bytesOf(part) + AROUND) >= 0,
        );
        const gone = new Set(taken);
        state.waiting = state.waiting.filter((part) => !gone.has(part));
      } else {
        const isFull = (part: DeliveryPart) => {
          left -= bytesOf(part) + AROUND;
          messages += messagesOf(part);
          return left < 0 || messages > BUDGETS.deliveryMessages || levelOf(part) > 1;
        };
        const end = state.waiting.findIndex((part, at) => isFull(part) && at > 0);
        taken = state.waiting.splice(0, end === -1 ? state.waiting.length : end);
      }
      for (const part of taken) add(delivery, part);
      return delivery;
    },
    giveBack() {
      state.waiting = [...taken, ...state.waiting];
      taken = [];
      state.closeSent = false;
    },
    dropDecisions() {
      const dropped = state.waiting.flatMap((part) =>
        part.kind === 'decision' ? [part.value.requestId] : [],
      );
      state.waiting = state.waiting.filter(({ kind }) => kind !== 'decision');
      taken = [];
      return dropped;
    },
    toKeep(any) {
      const level = any ? levelToKeep(state.waiting, bytesOf) : 0;
      const isKeepable = (part: DeliveryPart) =>
        levelOf(part) === level && (any || bytesOf(part) > BUDGETS.signal);
      const parts: DeliveryPart[] = [];
      let left: number = BUDGETS.piece;
      for (const part of state.waiting) {
        if (!isKeepable(part)) {
          if (parts.length > 0) break;
          continue;
        }
        left -= bytesOf(part) + 1;
        const isFull = left < 0 || (level === 0 && parts.length === BUDGETS.deliveryMessages);
        if (parts.length > 0 && isFull) break;
        parts.push(part);
        if (!any) break;
      }
      // A list of one place would be no smaller.
      return level > 0 && parts.length < 2 ? [] : parts;
    },
    keep(parts, kept) {
      const gone = new Set(parts);
      const at = state.waiting.findIndex((part) => gone.has(part));
      const messages = parts.reduce((sum, part) => sum + messagesOf(part), 0);
      const ids = firstWithin(parts.flatMap(idsOf), BATCH_IDS_BYTES).kept;
      const level = Math.max(...parts.map(levelOf)) + 1;
      const batch: DeliveryPart[] = kept ? [{ kind: 'batch', value: { ...kept, level, messages, ids } }] : [];
      state.waiting = state.waiting.flatMap((part, i) => (i === at ? batch : gone.has(part) ? [] : [part]));
      return parts.map(nameOf);
    },
    get kept() {
      return state.waiting.flatMap((part) => (part.kind === 'batch' ? [part.value] : []));
    },
    get toExpand() {
      const [part] = state.waiting;
      return part?.kind === 'batch' && part.value.level > 1 ? part.value : null;
    },
    expand(batch, parts) {
      state.waiting = state.waiting.flatMap((part) =>
        part.kind === 'batch' && part.value === batch ? parts : [part],
      );
    },
    dropNewest: () => state.waiting.pop() !== undefined,
  };
}

/** What still counts for a session that is about to close. */
const AT_CLOSE = new Set<DeliveryKind>(['decision', 'control']);

/** What the budget of a delivery counts one by one, and what is part of its frame: each of its fields is one of these. */
export const DELIVERY_FIELDS: { readonly [K in keyof Required<Delivery>]: 'counted' | 'frame' } = {
  ref: 'frame',
  messages: 'counted',
  decisions: 'counted',
  answers: 'counted',
  controls: 'counted',
  batches: 'counted',
  interrupts: 'counted',
  close: 'frame',
  order: 'counted',
};
