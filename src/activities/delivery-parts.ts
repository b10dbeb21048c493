import { randomUUID } from 'node:crypto';
import type { LedgerRecord } from '../task-folder/ledger.js';
import type { Delivery, DeliveryKind, DeliveryPart, Kept } from '../contract/activities.js';

/** What acts on each kind of what a delivery holds. */
export type Deliverer = {
  readonly [P in Exclude<DeliveryPart, { kind: 'batch' }> as P['kind']]: (
    value: P['value'],
  ) => Promise<unknown>;
};

type ElementOf<K extends keyof Delivery> = Required<Delivery>[K] extends readonly (infer E)[] ? E : never;
/** By its id, of which the ledger has a record; by a record alone, since it is never undone; by what is inside. */
type Once<K extends keyof Delivery> =
  | { id: keyof Extract<ElementOf<K>, object>; record: LedgerRecord['t'] }
  | { record: LedgerRecord['t'] }
  | 'by its parts'
  | 'nothing is done';

/**
 * How each part of a delivery is done once, however often and by how many workers of the host the delivery is done: one
 * that is added has to be here before it compiles.
 */
export const DONE_ONCE: { readonly [K in keyof Required<Delivery>]: Once<K> } = {
  ref: 'nothing is done',
  order: 'nothing is done',
  batches: 'by its parts',
  messages: { id: 'messageId', record: 'message' },
  decisions: { id: 'requestId', record: 'answered' },
  answers: { id: 'id', record: 'settled' },
  controls: { id: 'changeId', record: 'control' },
  interrupts: { id: 'interruptId', record: 'interrupt' },
  rules: { id: 'revision', record: 'rules' },
  close: { record: 'close' },
};

/**
 * Acts on everything in a delivery, one after the other in the order in which it came.
 * @param read what JSON in the database holds; null: it is lost
 */
export async function deliverInOrder(
  delivery: Delivery,
  to: Deliverer,
  read: (kept: Kept) => Promise<unknown>,
): Promise<void> {
  for (const part of partsOf(delivery))
    if (part.kind !== 'batch') await act(part, to);
    else
      for (const each of ((await read(part.value)) ?? []) as DeliveryPart[])
        if (each.kind !== 'batch') await act(each, to);
}

async function act(part: Exclude<DeliveryPart, { kind: 'batch' }>, to: Deliverer): Promise<void> {
  // A workflow of an earlier version gave it no id.
  if (part.kind === 'interrupt') await to.interrupt(part.value ?? { interruptId: randomUUID() });
  else if (part.kind === 'control') await to.control(part.value);
  else if (part.kind === 'decision') await to.decision(part.value);
  else if (part.kind === 'answer') await to.answer(part.value);
  else if (part.kind === 'rules') await to.rules(part.value);
  else await to.message(part.value);
}

function partsOf(delivery: Delivery): DeliveryPart[] {
  const { messages, decisions, controls, answers, batches = [], interrupts = [], rules = [] } = delivery;
  const { order = usualOrder(delivery) } = delivery;
  const next = { message: 0, decision: 0, control: 0, answer: 0, batch: 0, interrupt: 0, rules: 0 };
  return order.map((kind): DeliveryPart => {
    if (kind === 'interrupt') return { kind, value: interrupts[next.interrupt++]! };
    if (kind === 'control') return { kind, value: controls[next.control++]! };
    if (kind === 'decision') return { kind, value: decisions[next.decision++]! };
    if (kind === 'answer') return { kind, value: answers[next.answer++]! };
    if (kind === 'rules') return { kind, value: rules[next.rules++]! };
    if (kind === 'batch') return { kind, value: batches[next.batch++]! };
    return { kind, value: messages[next.message++]! };
  });
}

/** Of a workflow that says none. */
function usualOrder({
  messages,
  decisions,
  controls,
  answers,
  interrupts = [],
  close,
}: Delivery): DeliveryKind[] {
  return [
    ...controls.map(() => 'control' as const),
    ...decisions.map(() => 'decision' as const),
    ...interrupts.map(() => 'interrupt' as const),
    ...(close ? [] : messages.map(() => 'message' as const)),
    ...(close ? [] : answers.map(() => 'answer' as const)),
  ];
}
