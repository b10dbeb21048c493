import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { BUDGETS } from '../../src/budgets/budgets.js';
import type { Delivery, DeliveryPart } from '../../src/contract/activities.js';
import { CARRIED_BUDGETS } from '../../src/workflows/carried-fields.js';
import { emptyOutbox, Outbox, type OutboxState } from '../../src/workflows/outbox.js';
import { DELIVERY_FIELDS } from '../../src/workflows/outbox-parts.js';

const REF = { taskId: 't', runId: 'r' } as Delivery['ref'];
const newId = () => randomUUID();
const encoded = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

/** Takes deliveries until nothing waits. */
function drain(outbox: Outbox): Delivery[] {
  const deliveries: Delivery[] = [];
  while (!outbox.isEmpty) deliveries.push(outbox.take(REF));
  return deliveries;
}

/** What was delivered, in its order, by a word each. */
const sequence = (deliveries: Delivery[]): string[] =>
  deliveries.flatMap(({ order = [], messages, decisions, controls, answers }) => {
    const lists = {
      message: [...messages],
      decision: [...decisions],
      control: [...controls],
      answer: [...answers],
    };
    return order.map((kind) => {
      if (kind === 'interrupt') return kind;
      const next = lists[kind as keyof typeof lists].shift() as unknown as Record<string, unknown>;
      return `${kind} ${String(next['messageId'] ?? next['requestId'] ?? next['id'])}`;
    });
  });

function fill(outbox: Outbox, count: number, text: string): string[] {
  return Array.from({ length: count }, (_, i) => {
    if (i % 7 === 3) outbox.decision({ requestId: `d${i}`, behavior: 'deny', message: text });
    else if (i % 7 === 4) outbox.answer({ id: `a${i}`, text });
    else if (i % 7 === 5) outbox.control({ id: `c${i}`, value: 'x' });
    else if (i % 7 === 6) outbox.interrupt();
    else outbox.message({ messageId: `m${i}`, text });
    return ['message m', 'message m', 'message m', 'decision d', 'answer a', 'control c'][i % 7] + String(i);
  }).map((word) => (word.startsWith('undefined') ? 'interrupt' : word));
}

describe('the outbox', () => {
  it.each([
    ['ASCII', 'x'.repeat(30_000), 90],
    ['CJK', '漢'.repeat(10_000), 90],
    ['surrogate pairs', '😀'.repeat(7_000), 90],
    ['control characters', '\u0001'.repeat(5_000), 90],
    ['short texts', 'hello', 2_000],
  ])('is delivered once, in order, in deliveries within their size: %s', (_, text, count) => {
    const outbox = new Outbox(() => false, newId);
    const expected = fill(outbox, count, text);
    const deliveries = drain(outbox);
    expect(sequence(deliveries)).toEqual(expected);
    for (const delivery of deliveries) {
      expect(encoded(delivery)).toBeLessThanOrEqual(BUDGETS.delivery);
      expect(delivery.messages.length).toBeLessThanOrEqual(100);
    }
    expect(deliveries.length).toBeGreaterThan(5);
    // No delivery is small while more waits.
    for (const delivery of deliveries.slice(0, -1))
      expect(encoded(delivery) > BUDGETS.delivery / 2 || delivery.messages.length === 100).toBe(true);
  });

  it('repeats a failed delivery unchanged, before what came meanwhile', () => {
    const outbox = new Outbox(() => false, newId);
    const expected = fill(outbox, 300, 'x'.repeat(2_000));
    outbox.take(REF);
    outbox.message({ messageId: 'later', text: 'x' });
    outbox.giveBack();
    expect(sequence(drain(outbox))).toEqual([...expected, 'message later']);
  });

  it('carries a delivery that is under way into the next run', () => {
    const state = emptyOutbox();
    const outbox = new Outbox(() => false, newId, state);
    const expected = fill(outbox, 50, 'x');
    outbox.take(REF);
    outbox.giveBack();
    const next = new Outbox(() => false, newId, structuredClone(state));
    next.message({ messageId: 'm0', text: 'once only' });
    expect(sequence(drain(next))).toEqual(expected);
  });

  it('is not blocked by one item that is too large for a delivery', () => {
    const outbox = new Outbox(() => false, newId);
    outbox.message({ messageId: 'before', text: 'x' });
    outbox.message({ messageId: 'huge', text: 'x'.repeat(BUDGETS.delivery) });
    outbox.message({ messageId: 'after', text: 'x' });
    expect(sequence(drain(outbox))).toEqual(['message before', 'message huge', 'message after']);
  });

  it('holds messages back, but no decisions, when the session is closed', () => {
    let closing = false;
    const outbox = new Outbox(() => closing, newId);
    fill(outbox, 10, 'x');
    closing = true;
    const [close, ...more] = drain(outbox);
    expect(more).toEqual([]);
    expect(close).toMatchObject({ close: true, messages: [], answers: [] });
    expect(sequence([close!])).toEqual(['decision d3', 'control c5']);
    expect(outbox.ids).toEqual(['m0', 'm1', 'm2', 'm7', 'm8', 'm9']);
  });

  it('names the requests of decisions nobody takes any more, and keeps the rest', () => {
    const outbox = new Outbox(() => false, newId);
    const expected = fill(outbox, 20, 'x').filter((word) => !word.startsWith('decision'));
    expect(outbox.dropDecisions()).toEqual(['d3', 'd10', 'd17']);
    expect(sequence(drain(outbox))).toEqual(expected);
  });

  it('keeps the newest of consecutive controls of one kind, and one interrupt', () => {
    const outbox = new Outbox(() => false, newId);
    for (let i = 0; i < 5; i++) outbox.control({ id: 'model', value: `m${i}` });
    for (let i = 0; i < 5; i++) outbox.interrupt();
    const [delivery] = drain(outbox);
    expect(delivery).toMatchObject({
      controls: [{ id: 'model', value: 'm4' }],
      order: ['control', 'interrupt'],
    });
  });

  it('takes the same time for each of very many items', () => {
    const outbox = new Outbox(() => false, newId);
    // Of this process, whatever else the machine does. Microseconds.
    const begun = process.cpuUsage();
    for (let i = 0; i < 100_000; i++) outbox.message({ messageId: `m${i}`, text: 'hello' });
    expect(sequence(drain(outbox))).toHaveLength(100_000);
    expect(process.cpuUsage(begun).user).toBeLessThan(5_000_000);
  });
});

describe('an outbox in the database', () => {
  /** Stores JSON in memory, as steps of the workflow do. */
  function store() {
    const texts = new Map<string, string>();
    let count = 0;
    const keepAll = (outbox: Outbox) => {
      for (let parts = outbox.toKeep(true); parts.length > 0; parts = outbox.toKeep(true)) {
        const id = String(count++).padStart(24, '0');
        texts.set(id, JSON.stringify(parts));
        outbox.keep(parts, { blobIds: [id] });
      }
    };
    const read = ({ blobIds }: { blobIds: string[] }) =>
      JSON.parse(texts.get(blobIds[0]!)!) as DeliveryPart[];
    return { texts, keepAll, read };
  }

  it('is carried as a few ids, and is delivered in order by a hundred messages', () => {
    const { keepAll, read } = store();
    let state = emptyOutbox();
    let outbox = new Outbox(() => false, newId, state);
    const expected: string[] = [];
    // Run after run, each with a few large ones and a decision between.
    for (let run = 0; run < 300; run++) {
      for (let i = 0; i < 3; i++) {
        outbox.message({ messageId: `${run}-${i}`, text: 'x'.repeat(50_000) });
        expected.push(`message ${run}-${i}`);
      }
      outbox.decision({ requestId: `${run}`, behavior: 'allow' });
      expected.push(`decision ${run}`);
      keepAll(outbox);
      const carried = JSON.stringify(state);
      expect(carried.length).toBeLessThan(CARRIED_BUDGETS.outbox);
      state = JSON.parse(carried) as OutboxState;
      outbox = new Outbox(() => false, newId, state);
    }
    const arrived: string[] = [];
    while (!outbox.isEmpty) {
      for (let batch = outbox.toExpand; batch; batch = outbox.toExpand) outbox.expand(batch, read(batch));
      const { batches = [], messages } = outbox.take(REF);
      expect(messages).toEqual([]);
      const parts = batches.flatMap(read);
      expect(parts.filter(({ kind }) => kind === 'message').length).toBeLessThanOrEqual(100);
      for (const part of parts)
        arrived.push(
          part.kind === 'message'
            ? `message ${part.value.messageId}`
            : `decision ${(part as { value: { requestId: string } }).value.requestId}`,
        );
    }
    expect(arrived).toEqual(expected);
  });
});

it('has each field of a delivery counted, or small', () => {
  const delivery = new Outbox(() => false, newId).take(REF);
  expect(Object.keys(DELIVERY_FIELDS).sort()).toEqual(Object.keys(delivery).sort());
  for (const [name, how] of Object.entries(DELIVERY_FIELDS))
    if (how === 'frame')
      expect([name, encoded(delivery[name as keyof Delivery]) < 100]).toEqual([name, true]);
});
