import { describe, expect, it } from 'vitest';
import { createView, type ViewEvent, type ViewSnapshot } from '../../src/view/index.js';
import { mutated } from '../support/mutated.js';
import { seeded } from '../support/seeded.js';
import { bubblesOfView, bubblesOfWidget } from './bubbles.js';
import { originalRecording, realJournals } from './journals.js';

const journals = [...realJournals];

function viewOf(events: Iterable<ViewEvent>): ViewSnapshot {
  const view = createView();
  for (const event of events) view.apply(event);
  return view.snapshot();
}

/** A journal with what happens to few tasks put in at random: gaps, late events and what nobody knows. */
function troubled(journal: readonly ViewEvent[], random: () => number): ViewEvent[] {
  const events: ViewEvent[] = [];
  let id = 0;
  for (const { event } of journal) {
    const dice = random();
    if (dice < 0.03) {
      const from = id + 1;
      id += 1 + Math.floor(random() * 50);
      events.push({ id, event: { type: 'x-optio-gap', from, to: id } });
      // What is in a gap is in no stream.
      if (random() < 0.5) continue;
    } else if (dice < 0.06) events.push({ id: ++id, event: { type: 'x-optio-new', at: 7 } });
    else if (dice < 0.15) {
      const other = journal[Math.floor(random() * journal.length)]!.event;
      events.push({ id: ++id, event: { type: 'x-optio-late', event: other } });
    } else if (dice < 0.2) events.push({ id: ++id, event: mutated(event, random) });
    events.push({ id: ++id, event });
  }
  return events;
}

/** What a reader gets whose connection is cut again and again: after each cut some events come once more. */
function* cutUp(events: readonly ViewEvent[], random: () => number): Generator<ViewEvent> {
  let at = 0;
  while (at < events.length) {
    const to = Math.min(events.length, at + 1 + Math.floor(random() * 20));
    for (let i = Math.max(0, at - Math.floor(random() * 10)); i < to; i++) yield events[i]!;
    at = to;
  }
}

describe.each(journals)('the view of a real task: %s', (_, journal) => {
  it('is the same for a journal that is cut at any point, with overlap', () => {
    const whole = viewOf(journal);
    for (let cut = 0; cut <= journal.length; cut++)
      for (const back of [0, 1, 5, cut])
        expect(viewOf([...journal.slice(0, cut), ...journal.slice(Math.max(0, cut - back))])).toEqual(whole);
  });

  it('is the same for any cut with gaps, late events and unknown events', () => {
    for (let seed = 0; seed < 100; seed++) {
      const random = seeded(seed);
      const events = troubled(journal, random);
      const whole = viewOf(events);
      expect(viewOf(cutUp(events, random)), `seed ${seed}`).toEqual(whole);
    }
  });

  it('continues from a snapshot of its events without a difference', () => {
    const random = seeded(5);
    const view = createView();
    for (const event of journal) {
      const changes = view.apply(event);
      const { items, turns } = view.snapshot();
      expect(changes.items.every((place) => place < items.length)).toBe(true);
      expect(changes.turns.every((place) => place < turns.length)).toBe(true);
      if (random() < 0.1)
        expect(view.snapshot()).toEqual(viewOf(journal.slice(0, journal.indexOf(event) + 1)));
    }
  });

  it('ends with nothing open, as the stream says', () => {
    const { items, requests, turns, usage, state } = viewOf(journal);
    expect(items.filter(({ isOpen }) => isOpen)).toEqual([]);
    expect(requests).toEqual([]);
    expect(turns.filter(({ status }) => status === 'inProgress')).toEqual([]);
    expect(state).toMatchObject({ phase: 'closed', lastId: journal.at(-1)!.id });
    const totals = journal.flatMap((told) =>
      told.name === 'thread/tokenUsage/updated' ? told.event.params.tokenUsage.total.totalTokens : [],
    );
    expect(usage.totalTokens).toBe(totals.at(-1));
    const asked = journal.flatMap(({ event }) => ('method' in event && 'id' in event ? [event.id] : []));
    expect(items.flatMap((item) => (item.kind === 'request' ? [item.requestId] : []))).toEqual(asked);
    const texts = journal.flatMap((told) =>
      told.name === 'item/completed' && told.event.params.item.type === 'agentMessage'
        ? told.event.params.item.text
        : [],
    );
    expect(
      items.flatMap((item) => (item.kind === 'message' && item.role === 'agent' ? [item.text] : [])),
    ).toEqual(texts);
  });

  it('never throws, whatever an event is', () => {
    const random = seeded(11);
    for (let round = 0; round < 200; round++) {
      const view = createView();
      journal.forEach(({ event }, i) => view.apply({ id: i + 1, event: mutated(event, random) }));
      expect(view.snapshot().state.lastId).toBe(journal.length);
    }
  });

  it('has the bubbles of the original widget', () => {
    const bubbles = bubblesOfWidget(journal.map(({ event }) => event));
    expect(bubbles.length).toBeGreaterThan(1);
    expect(bubblesOfView(viewOf(journal).items)).toEqual(bubbles);
  });
});

describe('the recording of the original', () => {
  it('gives its bubbles and all that it had besides', () => {
    const { items, state, usage } = viewOf(originalRecording);
    expect(bubblesOfView(items)).toEqual(bubblesOfWidget(originalRecording.map(({ event }) => event)));
    expect(bubblesOfView(items).at(-1)).toEqual({ who: 'agent', text: 'PONG' });
    expect(items.map(({ kind }) => kind)).toEqual([
      'message',
      'reasoning',
      'command',
      'message',
      'turn',
      'notice',
    ]);
    expect(state).toMatchObject({ phase: 'closed', ended: { reason: 'process ended' } });
    expect(usage.totalTokens).toBeGreaterThan(0);
  });
});

describe('the original’s bubbles', () => {
  const of = (text: string, itemId: string) => ({
    method: 'item/agentMessage/delta',
    params: { threadId: 't', turnId: 'tu', itemId, delta: text },
  });
  const done = {
    method: 'turn/completed',
    params: { threadId: 't', turn: { id: 'tu', status: 'completed', items: [] } },
  };
  const command = { type: 'commandExecution', id: 'c', command: 'ls', cwd: '/w', status: 'inProgress' };
  const item = (method: string, fields: object) => ({
    method,
    params: { threadId: 't', turnId: 'tu', item: fields },
  });
  const reasoning = {
    method: 'item/reasoning/summaryTextDelta',
    params: { threadId: 't', turnId: 'tu', itemId: 'r', delta: 'hm', summaryIndex: 0 },
  };

  it.each([
    ['deltas are one', [of('PO', 'm'), of('NG', 'm')], ['PONG']],
    [
      'two turns are two',
      [of('one', 'm'), done, { ...of('two', 'm'), params: { ...of('two', 'm').params, turnId: 't2' } }],
      ['one', 'two'],
    ],
    [
      'the end heals what deltas left out',
      [of('PO', 'm'), item('item/completed', { type: 'agentMessage', id: 'm', text: 'PONG' }), done],
      ['PONG'],
    ],
    ['reasoning splits none', [of('Hi', 'm'), reasoning, of(' there', 'n'), done], ['Hi there']],
    [
      'a command splits',
      [of('before', 'm'), item('item/started', command), of('after', 'n')],
      ['before', 'after'],
    ],
    [
      'a message of the host splits',
      [
        of('before', 'm'),
        item('item/completed', { type: 'userMessage', id: 'u', text: 'System: heads up' }),
        of('after', 'n'),
      ],
      ['before', 'after'],
    ],
    [
      'a message of the user is one',
      [
        item('item/completed', { type: 'userMessage', id: 'u', content: [{ type: 'text', text: 'prior' }] }),
        of('answer', 'm'),
      ],
      ['prior', 'answer'],
    ],
  ])('come out of %s', (_, events, texts) => {
    const numbered = events.map((event, i) => ({ id: i + 1, event }));
    expect(bubblesOfView(viewOf(numbered).items).map(({ text }) => text)).toEqual(texts);
    expect(bubblesOfWidget(events).map(({ text }) => text)).toEqual(texts);
  });
});
