import { BUDGETS } from '../budgets/budgets.js';
import type { Delivery, DeliveryPart, TaskRef } from '../contract/activities.js';

export const emptyDelivery = (ref: TaskRef): Required<Delivery> => ({
  ref,
  messages: [],
  decisions: [],
  answers: [],
  controls: [],
  interrupts: [],
  rules: [],
  close: false,
  batches: [],
  order: [],
});

/** A part as an earlier version of this record has it, without an id for interrupts. */
export function withId(part: DeliveryPart, newId: () => string): DeliveryPart {
  const isOld = part.kind === 'interrupt' && (part as { value?: unknown }).value === undefined;
  return isOld ? { kind: 'interrupt', value: { interruptId: newId() } } : part;
}

/** Ids of messages. */
export function idsOf(part: DeliveryPart): string[] {
  if (part.kind === 'batch') return part.value.ids;
  return part.kind === 'message' ? [part.value.messageId] : [];
}

/** 0: it is stored here. */
export const levelOf = (part: DeliveryPart): number => (part.kind === 'batch' ? part.value.level : 0);

/** Delivers items before stored ids, of which there should be few. */
export function levelToKeep(parts: readonly DeliveryPart[], bytesOf: (part: DeliveryPart) => number): number {
  const levels = parts.map(levelOf);
  if (levels.includes(0)) return 0;
  if (parts.reduce((sum, part) => sum + bytesOf(part), 0) <= BUDGETS.keptPlaces) return Infinity;
  for (let level = 1; ; level++) if (levels.filter((each) => each === level).length !== 1) return level;
}

export function partNameOf(part: DeliveryPart): string {
  if (part.kind === 'message') return `message ${part.value.messageId}`;
  if (part.kind === 'decision') return `decision on ${part.value.requestId}`;
  return part.kind === 'answer' ? `answer to ${part.value.id}` : part.kind;
}

export function messagesOf(part: DeliveryPart): number {
  if (part.kind === 'batch') return part.value.messages;
  return part.kind === 'message' ? 1 : 0;
}

export function add(delivery: Required<Delivery>, part: DeliveryPart): void {
  delivery.order.push(part.kind);
  if (part.kind === 'message') delivery.messages.push(part.value);
  else if (part.kind === 'decision') delivery.decisions.push(part.value);
  else if (part.kind === 'control') delivery.controls.push(part.value);
  else if (part.kind === 'answer') delivery.answers.push(part.value);
  else if (part.kind === 'batch') delivery.batches.push(part.value);
  else if (part.kind === 'rules') delivery.rules.push(part.value);
  else delivery.interrupts.push(part.value);
}

/** What the budget of a delivery counts one by one, and what is part of its frame: each of its fields is one of these. */
export const DELIVERY_FIELDS: { readonly [K in keyof Required<Delivery>]: 'counted' | 'frame' } = {
  ref: 'frame',
  messages: 'counted',
  decisions: 'counted',
  answers: 'counted',
  controls: 'counted',
  batches: 'counted',
  interrupts: 'counted',
  rules: 'counted',
  close: 'frame',
  order: 'counted',
};
