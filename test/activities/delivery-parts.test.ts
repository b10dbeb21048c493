import { expect, it } from 'vitest';
import { deliverInOrder, type Deliverer } from '../../src/activities/delivery-parts.js';
import type { Delivery, DeliveryPart } from '../../src/contract/activities.js';

function deliverer() {
  const done: string[] = [];
  const note = async (what: string) => void done.push(what);
  const to: Deliverer = {
    message: ({ messageId }) => note(`message ${messageId}`),
    decision: ({ requestId }) => note(`decision ${requestId}`),
    control: ({ id }) => note(`control ${id}`),
    answer: ({ id }) => note(`answer ${id}`),
    interrupt: ({ interruptId }) => note(`interrupt ${interruptId}`),
    rules: ({ revision }) => note(`rules ${revision}`),
  };
  return { done, to };
}

const batch = { blobIds: ['0'.repeat(24)], level: 1, messages: 1, ids: ['kept'] };
const DELIVERY: Delivery = {
  ref: {} as Delivery['ref'],
  messages: [
    { messageId: 'm1', text: 'x' },
    { messageId: 'm2', text: 'x' },
  ],
  decisions: [{ requestId: 'd1', behavior: 'allow' }],
  controls: [{ id: 'model', value: 'x' }],
  answers: [{ id: 'a1', text: null }],
  batches: [batch],
  interrupts: [{ interruptId: 'i1' }],
  rules: [{ revision: 1, rules: [] }],
  close: false,
  order: ['message', 'interrupt', 'batch', 'decision', 'rules', 'message', 'control', 'answer'],
};
const KEPT: DeliveryPart[] = [
  { kind: 'message', value: { messageId: 'kept', text: 'x' } },
  { kind: 'interrupt', value: { interruptId: 'i2' } },
];

it('applies every part in order of arrival, even those stored in the database', async () => {
  const { done, to } = deliverer();
  await deliverInOrder(DELIVERY, to, async () => KEPT);
  expect(done).toEqual([
    'message m1',
    'interrupt i1',
    'message kept',
    'interrupt i2',
    'decision d1',
    'rules 1',
    'message m2',
    'control model',
    'answer a1',
  ]);
});

it('applies all other parts when one is missing from the database', async () => {
  const { done, to } = deliverer();
  await deliverInOrder(DELIVERY, to, async () => null);
  expect(done).toEqual([
    'message m1',
    'interrupt i1',
    'decision d1',
    'rules 1',
    'message m2',
    'control model',
    'answer a1',
  ]);
});

it('stops at a part that cannot be read now, and resumes there when repeated', async () => {
  const { done, to } = deliverer();
  const away = async () => Promise.reject(new Error('away'));
  await expect(deliverInOrder(DELIVERY, to, away)).rejects.toThrow('away');
  expect(done).toEqual(['message m1', 'interrupt i1']);
});
