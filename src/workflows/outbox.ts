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
import type { KeepablePart } from './outbox-parts.js';
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
  toKeep(any: boolean): KeepablePart[];
  /** These are in the database now; null: nobody could take them, and they are lost. Names them. */
  keep(parts: readonly KeepablePart[], kept: Kept | null): string[];
  /** What of it is in the database. */
  readonly kept: KeptBatch[];
  /** The oldest, when it is a batch of batches: it has to be expanded before it is delivered. */
  readonly toExpand: KeptBatch | null;
  /** Puts what was in it in its place. */
  expand(batch: KeptBatch, parts: readonly DeliveryPart[]): void;
  /** Drops the newest of what waits. False: there is nothing more. */
  dropNewest(): boolean;
  carry(): CarriedOutbox;
}

/** The outbox as it goes into the next run. */
export interface CarriedOutbox {
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
/** So many that left are removed at once. */
const SWEPT = 1_000;
/** Of a batch so many ids of its messages are known here. */
const BATCH_IDS_BYTES = 512;

/** @param newId makes ids of what has none of its own, so that a repeated delivery does it once */
export function openOutbox(isClosing: () => boolean, newId: () => string, carried?: CarriedOutbox): Outbox {
  const seen = openIdMemory(MESSAGE_IDS, carried?.seen);
  let queue: KeepablePart[] = [];
  /** What went out with the close. */
  let atClose: KeepablePart[] = [];
  /** Where what waits begins, and where it began before the last delivery. */
  let head = 0;
  let before = 0;
  let closeSent = carried?.closeSent ?? false;
  const push = (part: DeliveryPart) => void queue.push({ part, bytes: jsonBytes(part) });
  const waiting = () => queue.slice(head).map(({ part }) => part);
  carried?.waiting.forEach((part) => push(withId(part, newId)));

  return {
    get isEmpty() {
      return isClosing() ? closeSent : head === queue.length;
    },
    get ids() {
      return waiting().flatMap(idsOf);
    },
    get controls() {
      return waiting().flatMap((part) => (part.kind === 'control' ? [part.value.id] : []));
    },
    message(value) {
      const isNew = seen.add(value.messageId);
      if (isNew) push({ kind: 'message', value });
      return isNew;
    },
    hasSent(messageId) {
      return seen.has(messageId) && !waiting().flatMap(idsOf).includes(messageId);
    },
    decision: (value) => push({ kind: 'decision', value }),
    control(value) {
      const last = queue.length > head ? queue.at(-1) : undefined;
      // Nothing came between: the one before would have no effect.
      if (last?.part.kind === 'control' && last.part.value.id === value.id) queue.pop();
      push({ kind: 'control', value: { ...value, changeId: newId() } });
    },
    answer: (value) => push({ kind: 'answer', value }),
    interrupt() {
      const last = queue.length > head ? queue.at(-1) : undefined;
      if (last?.part.kind !== 'interrupt') push({ kind: 'interrupt', value: { interruptId: newId() } });
    },
    take(ref) {
      if (head > SWEPT && head * 2 > queue.length) {
        queue = queue.slice(head);
        head = 0;
      }
      before = head;
      const delivery = emptyDelivery(ref);
      let left = BUDGETS.delivery - CODEC_BYTES - FRAME_BYTES;
      let messages = 0;
      if (isClosing()) {
        closeSent = delivery.close = true;
        // A session that closes begins nothing: its messages stay here, for those who ask what became of them.
        const goes = (each: KeepablePart) =>
          AT_CLOSE.has(each.part.kind) && (left -= each.bytes + AROUND) >= 0;
        atClose = queue.slice(head).filter(goes);
        queue = queue.slice(head).filter((each) => !atClose.includes(each));
        head = before = 0;
        for (const { part } of atClose) add(delivery, part);
        return delivery;
      }
      for (; head < queue.length; head++) {
        const { part, bytes } = queue[head]!;
        left -= bytes + AROUND;
        messages += messagesOf(part);
        const isFull = left < 0 || messages > BUDGETS.deliveryMessages || levelOf(part) > 1;
        if (isFull && head > before) break;
        add(delivery, part);
      }
      return delivery;
    },
    giveBack() {
      head = before;
      queue = [...atClose.splice(0), ...queue];
      closeSent = false;
    },
    dropDecisions() {
      const all = waiting();
      queue = [];
      head = before = 0;
      const dropped = all.flatMap((part) => (part.kind === 'decision' ? [part.value.requestId] : []));
      all.filter(({ kind }) => kind !== 'decision').forEach(push);
      return dropped;
    },
    toKeep(any) {
      const level = any ? levelToKeep(queue.slice(head)) : 0;
      const isKeepable = ({ part, bytes }: KeepablePart) =>
        levelOf(part) === level && (any || bytes > BUDGETS.signal);
      const parts: KeepablePart[] = [];
      let left: number = BUDGETS.piece;
      for (const each of queue.slice(head)) {
        if (!isKeepable(each)) {
          if (parts.length > 0) break;
          continue;
        }
        left -= each.bytes + 1;
        const isFull = left < 0 || (level === 0 && parts.length === BUDGETS.deliveryMessages);
        if (parts.length > 0 && isFull) break;
        parts.push(each);
        if (!any) break;
      }
      // A list of one place would be no smaller.
      return level > 0 && parts.length < 2 ? [] : parts;
    },
    keep(parts, kept) {
      const gone = new Set(parts);
      const at = queue.findIndex((each) => gone.has(each));
      const messages = parts.reduce((sum, { part }) => sum + messagesOf(part), 0);
      const ids = firstWithin(
        parts.flatMap(({ part }) => idsOf(part)),
        BATCH_IDS_BYTES,
      ).kept;
      const level = Math.max(...parts.map(({ part }) => levelOf(part))) + 1;
      const part: DeliveryPart = { kind: 'batch', value: { ...kept!, level, messages, ids } };
      const batch = kept ? [{ part, bytes: jsonBytes(part) }] : [];
      queue = queue.flatMap((each, i) => (i === at ? batch : gone.has(each) ? [] : [each]));
      return parts.map(({ part }) => nameOf(part));
    },
    get kept() {
      return waiting().flatMap((part) => (part.kind === 'batch' ? [part.value] : []));
    },
    get toExpand() {
      const part = queue[head]?.part;
      return part?.kind === 'batch' && part.value.level > 1 ? part.value : null;
    },
    expand(batch, parts) {
      const inside = parts.map((part) => ({ part, bytes: jsonBytes(part) }));
      queue = queue.flatMap((each) =>
        each.part.kind === 'batch' && each.part.value === batch ? inside : [each],
      );
    },
    dropNewest: () => queue.length > head && queue.pop() !== undefined,
    carry: () => ({ waiting: waiting(), closeSent, seen: seen.carry() }),
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
