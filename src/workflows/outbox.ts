import { BUDGETS, CODEC_BYTES, firstWithin, jsonBytes } from '../budgets/budgets.js';
import type { ControlChange, HookRequestAnswer, PermissionDecision, TaskMessage } from '../contract/index.js';
import type {
  Delivery,
  DeliveryKind,
  DeliveryPart,
  Kept,
  KeptBatch,
  RulesInForce,
  TaskRef,
} from '../contract/activities.js';
import { openIdMemory, type IdMemory } from './id-memory.js';
import {
  add,
  emptyDelivery,
  idsOf,
  levelOf,
  levelToKeep,
  messagesOf,
  partNameOf,
  withId,
} from './outbox-parts.js';

/** What is known of it, as plain JSON. */
export interface OutboxState {
  /** Oldest first. */
  waiting: DeliveryPart[];
  closeSent: boolean;
  /** Ids of messages that were taken, oldest first. */
  seen: string[];
}

const MESSAGE_IDS = { count: 1_000, bytes: BUDGETS.rememberedIds };
/** Size of a delivery without its parts: ids, names of members, the close. */
const FRAME_BYTES = 4_096;
const DELIVERY_BYTES = BUDGETS.delivery - CODEC_BYTES - FRAME_BYTES;
/** The name of its kind in `order`, and commas. */
const AROUND = 16;
/** How many message ids of a batch are known here. */
const BATCH_IDS_BYTES = 512;

export const emptyOutbox = (): OutboxState => ({ waiting: [], closeSent: false, seen: [] });

/** What signals and hooks have for the session, in the order in which it came, until a delivery takes it to the host. */
export class Outbox {
  readonly #seen: IdMemory;
  readonly #sizes = new WeakMap<DeliveryPart, number>();
  /** What the last delivery took. */
  #taken: DeliveryPart[] = [];

  /**
   * @param newId makes ids of what has none of its own, so that a repeated delivery does it once
   * @param state what is known of it, which is kept up to date
   */
  constructor(
    private readonly isClosing: () => boolean,
    private readonly newId: () => string,
    private readonly state: OutboxState = emptyOutbox(),
  ) {
    this.#seen = openIdMemory(MESSAGE_IDS, state.seen);
    state.waiting = state.waiting.map((part) => withId(part, newId));
  }

  get isEmpty(): boolean {
    return this.isClosing() ? this.state.closeSent : this.state.waiting.length === 0;
  }

  /** Of messages that wait. */
  get ids(): string[] {
    return this.state.waiting.flatMap(idsOf);
  }

  /** Of settings that wait. */
  get controls(): string[] {
    return this.state.waiting.flatMap((part) => (part.kind === 'control' ? [part.value.id] : []));
  }

  /** Takes a message once by its id; `false`: it was here before. */
  message(value: TaskMessage): boolean {
    const isNew = this.#seen.add(value.messageId);
    if (isNew) this.#push({ kind: 'message', value });
    return isNew;
  }

  /** Whether a message of this id was taken and has left. */
  hasSent(messageId: string): boolean {
    return this.#seen.has(messageId) && !this.ids.includes(messageId);
  }

  decision(value: PermissionDecision): void {
    this.#push({ kind: 'decision', value });
  }

  control(value: ControlChange): void {
    const { waiting } = this.state;
    const last = waiting.at(-1);
    // Nothing came between: the one before would have no effect.
    if (last?.kind === 'control' && last.value.id === value.id) waiting.pop();
    this.#push({ kind: 'control', value: { ...value, changeId: this.newId() } });
  }

  answer(value: HookRequestAnswer): void {
    this.#push({ kind: 'answer', value });
  }

  /** Takes the rules in force now; earlier ones that wait are forgotten. */
  rules(value: RulesInForce): void {
    this.state.waiting = this.state.waiting.filter(({ kind }) => kind !== 'rules');
    this.#push({ kind: 'rules', value });
  }

  interrupt(): void {
    if (this.state.waiting.at(-1)?.kind !== 'interrupt')
      this.#push({ kind: 'interrupt', value: { interruptId: this.newId() } });
  }

  /** The oldest of what waits, as much as one delivery may hold. */
  take(ref: TaskRef): Delivery {
    const delivery = emptyDelivery(ref);
    if (this.isClosing()) {
      this.state.closeSent = delivery.close = true;
      this.#taken = this.#takeAtClose();
    } else this.#taken = this.#takeOldest();
    for (const part of this.#taken) add(delivery, part);
    return delivery;
  }

  /** A session that closes begins nothing: its messages stay here, for those who ask what became of them. */
  #takeAtClose(): DeliveryPart[] {
    const { state } = this;
    let room = DELIVERY_BYTES;
    const taken = state.waiting.filter(
      (part) => AT_CLOSE.has(part.kind) && (room -= this.#bytesOf(part) + AROUND) >= 0,
    );
    const gone = new Set(taken);
    state.waiting = state.waiting.filter((part) => !gone.has(part));
    return taken;
  }

  #takeOldest(): DeliveryPart[] {
    const { waiting } = this.state;
    let room = DELIVERY_BYTES;
    let messages = 0;
    const isFull = (part: DeliveryPart) => {
      room -= this.#bytesOf(part) + AROUND;
      messages += messagesOf(part);
      return room < 0 || messages > BUDGETS.deliveryMessages || levelOf(part) > 1;
    };
    const end = waiting.findIndex((part, at) => isFull(part) && at > 0);
    return waiting.splice(0, end === -1 ? waiting.length : end);
  }

  /** Takes back what the last delivery had and did not arrive. */
  giveBack(): void {
    const { state } = this;
    state.waiting = [...this.#taken, ...state.waiting];
    this.#taken = [];
    state.closeSent = false;
  }

  /** Nobody is there to take decisions any more: forgets them, and names their requests. */
  dropDecisions(): string[] {
    const { state } = this;
    const dropped = state.waiting.flatMap((part) => (part.kind === 'decision' ? [part.value.requestId] : []));
    state.waiting = state.waiting.filter(({ kind }) => kind !== 'decision');
    this.#taken = [];
    return dropped;
  }

  /**
   * The oldest of what waits that is too large for a delivery; `any`: the oldest that is not in the database, large or
   * not.
   */
  toKeep(any: boolean): DeliveryPart[] {
    const { waiting } = this.state;
    const bytesOf = (part: DeliveryPart) => this.#bytesOf(part);
    const level = any ? levelToKeep(waiting, bytesOf) : 0;
    const isKeepable = (part: DeliveryPart) =>
      levelOf(part) === level && (any || bytesOf(part) > BUDGETS.signal);
    const parts: DeliveryPart[] = [];
    let room: number = BUDGETS.piece;
    for (const part of waiting) {
      if (!isKeepable(part)) {
        if (parts.length > 0) break;
        continue;
      }
      room -= bytesOf(part) + 1;
      const isFull = room < 0 || (level === 0 && parts.length === BUDGETS.deliveryMessages);
      if (parts.length > 0 && isFull) break;
      parts.push(part);
      if (!any) break;
    }
    // A list of one place would be no smaller.
    return level > 0 && parts.length < 2 ? [] : parts;
  }

  /** These are in the database now; null: nobody could take them, and they are lost. Names them. */
  keep(parts: readonly DeliveryPart[], kept: Kept | null): string[] {
    const { state } = this;
    const gone = new Set(parts);
    const at = state.waiting.findIndex((part) => gone.has(part));
    const messages = parts.reduce((sum, part) => sum + messagesOf(part), 0);
    const ids = firstWithin(parts.flatMap(idsOf), BATCH_IDS_BYTES).kept;
    const level = Math.max(...parts.map(levelOf)) + 1;
    const batch: DeliveryPart[] = kept ? [{ kind: 'batch', value: { ...kept, level, messages, ids } }] : [];
    state.waiting = state.waiting.flatMap((part, i) => (i === at ? batch : gone.has(part) ? [] : [part]));
    return parts.map(partNameOf);
  }

  /** What of it is in the database. */
  get kept(): KeptBatch[] {
    return this.state.waiting.flatMap((part) => (part.kind === 'batch' ? [part.value] : []));
  }

  /** The oldest, when it is a batch of batches: it has to be expanded before it is delivered. */
  get toExpand(): KeptBatch | null {
    const [part] = this.state.waiting;
    return part?.kind === 'batch' && part.value.level > 1 ? part.value : null;
  }

  /** Puts what was in it in its place. */
  expand(batch: KeptBatch, parts: readonly DeliveryPart[]): void {
    const { state } = this;
    state.waiting = state.waiting.flatMap((part) =>
      part.kind === 'batch' && part.value === batch ? parts : [part],
    );
  }

  /** Drops the newest of what waits. False: there is nothing more. */
  dropNewest(): boolean {
    return this.state.waiting.pop() !== undefined;
  }

  #push(part: DeliveryPart): void {
    this.state.waiting.push(part);
  }

  #bytesOf(part: DeliveryPart): number {
    const bytes = this.#sizes.get(part) ?? jsonBytes(part);
    this.#sizes.set(part, bytes);
    return bytes;
  }
}

/** Items that still count for a session that is about to close. */
const AT_CLOSE = new Set<DeliveryKind>(['decision', 'control', 'rules']);
