import { describe, expect, it } from 'vitest';
import { createView, type View, type ViewItem } from '../../src/view/index.js';

const about = { threadId: 'th', turnId: 'tu' };

/** A view of these events, with ids from 1. */
function viewOf(...events: object[]): View {
  const view = createView();
  events.forEach((event, i) => view.apply({ id: i + 1, event }));
  return view;
}

const begun = {
  method: 'turn/started',
  params: { threadId: 'th', turn: { id: 'tu', status: 'inProgress', items: [] } },
};
const ended = (status = 'completed', error: object | null = null, id = 'tu') => ({
  method: 'turn/completed',
  params: { threadId: 'th', turn: { id, status, items: [], error } },
});
const item = (fields: object, method = 'item/completed') => ({ method, params: { ...about, item: fields } });
const started = (fields: object) => item(fields, 'item/started');
const delta = (text: string, itemId = 'm') => ({
  method: 'item/agentMessage/delta',
  params: { ...about, itemId, delta: text },
});
const piece = (method: string, fields: object) => ({ method, params: { ...about, itemId: 'x', ...fields } });
const asks = {
  method: 'item/commandExecution/requestApproval',
  id: '1-0',
  params: { ...about, itemId: 'c', command: 'rm x' },
};
const answered = (behavior: string) => ({
  type: 'x-optio-permission-answered',
  request_id: '1-0',
  behavior,
  decidedBy: 'anna',
  at: 5,
});
const message = (text: string) => ({ type: 'agentMessage', id: 'm', text });
const of = <K extends ViewItem['kind']>(view: View, kind: K) =>
  view.items.filter((each): each is Extract<ViewItem, { kind: K }> => each.kind === kind);

describe('items', () => {
  it('append the deltas of a message, and its end brings the whole text', () => {
    const view = viewOf(begun, started(message('')), delta('Hel'), delta('lo'));
    expect(of(view, 'message')).toMatchObject([{ role: 'agent', text: 'Hello', isOpen: true }]);
    view.apply({ id: 5, event: item(message('Hello!')) });
    expect(of(view, 'message')).toMatchObject([{ text: 'Hello!', isOpen: false, isCut: false }]);
  });

  it('ignore deltas of a message after its end', () => {
    const late = { type: 'x-optio-late', event: delta(' again') };
    const view = viewOf(begun, delta('Hi'), item(message('Hi')), ended(), late, delta('x'));
    expect(of(view, 'message')).toMatchObject([{ text: 'Hi' }]);
  });

  it('apply a late end of an item in its place', () => {
    const command = {
      type: 'commandExecution',
      id: 'c',
      command: 'sleep 9',
      cwd: '/w',
      status: 'inProgress',
    };
    const view = viewOf(begun, started(command), ended(), {
      type: 'x-optio-late',
      event: item({ ...command, status: 'completed', exitCode: 0, aggregatedOutput: 'done' }),
    });
    expect(view.items.map(({ kind }) => kind)).toEqual(['command', 'turn']);
    expect(view.items[0]).toMatchObject({ status: 'completed', output: 'done', isCut: false });
    expect(view.turns).toMatchObject([{ status: 'completed' }]);
    expect(view.state.phase).toBe('idle');
  });

  it('show a user message with its text, pictures and id', () => {
    const content = [
      { type: 'text', text: 'Do it' },
      { type: 'localImage', path: 'a.png' },
    ];
    const view = viewOf(item({ type: 'userMessage', id: 'u', clientId: 'm1', content }));
    expect(view.items).toMatchObject([{ role: 'user', text: 'Do it', images: ['a.png'], messageId: 'm1' }]);
  });

  it('assemble reasoning, changes, calls and plans from their pieces', () => {
    const view = viewOf(
      piece('item/reasoning/summaryTextDelta', { delta: 'First', summaryIndex: 0 }),
      piece('item/reasoning/summaryTextDelta', { delta: ' part', summaryIndex: 0 }),
      piece('item/reasoning/summaryTextDelta', { delta: 'Second', summaryIndex: 1 }),
      piece('item/reasoning/textDelta', { delta: 'raw', contentIndex: 0 }),
      piece('item/plan/delta', { itemId: 'p', delta: '1. go' }),
      started({
        type: 'mcpToolCall',
        id: 'k',
        server: 's',
        tool: 't',
        status: 'inProgress',
        arguments: { a: 1 },
      }),
      piece('item/mcpToolCall/progress', { itemId: 'k', message: 'half' }),
      started({ type: 'fileChange', id: 'f', status: 'inProgress', changes: [] }),
      piece('item/fileChange/patchUpdated', {
        itemId: 'f',
        changes: [{ path: 'a', kind: { type: 'add' }, diff: '+x' }],
      }),
      {
        method: 'turn/plan/updated',
        params: { ...about, explanation: 'why', plan: [{ step: 'one', status: 'pending' }] },
      },
      {
        method: 'turn/plan/updated',
        params: { ...about, explanation: null, plan: [{ step: 'one', status: 'completed' }] },
      },
      item({ type: 'webSearch', id: 'w', query: 'q' }),
    );
    expect(view.items).toMatchObject([
      { kind: 'reasoning', summary: 'First part\n\nSecond', text: 'raw' },
      { kind: 'plan', text: '1. go', steps: [] },
      { kind: 'mcp', server: 's', tool: 't', arguments: { a: 1 }, progress: 'half' },
      { kind: 'fileChange', changes: [{ path: 'a', change: 'add', movedTo: null, diff: '+x' }] },
      { kind: 'plan', text: '', steps: [{ step: 'one', status: 'completed' }] },
      { kind: 'other', type: 'webSearch', item: { query: 'q' } },
    ]);
  });

  it('are cut when their turn ends before they do', () => {
    const view = viewOf(begun, started(message('')), delta('Hel'), ended('interrupted'));
    expect(of(view, 'message')).toMatchObject([{ text: 'Hel', isOpen: false, isCut: true }]);
    expect(of(view, 'turn')).toMatchObject([{ status: 'interrupted' }]);
  });

  it('become a new object when they change, and no other does', () => {
    const view = viewOf(begun, item(message('one')), started({ ...message(''), id: 'n' }));
    const [first, second] = view.items;
    const changes = view.apply({ id: 4, event: delta('t', 'n') });
    expect(changes).toEqual({ items: [1], turns: [], requests: false, usage: false, state: false });
    expect(view.items[0]).toBe(first);
    expect(view.items[1]).not.toBe(second);
    expect(second).toMatchObject({ text: '' });
  });
});

describe('requests', () => {
  it('wait until they are answered, and name who answered', () => {
    const view = viewOf(begun, asks);
    expect(view.requests).toMatchObject([
      { requestId: '1-0', asks: 'command', input: { command: 'rm x' }, answer: null },
    ]);
    expect(view.state.phase).toBe('waiting-for-permission');
    view.apply({ id: 3, event: answered('deny') });
    expect(view.requests).toEqual([]);
    expect(of(view, 'request')).toMatchObject([
      { isOpen: false, answer: { behavior: 'deny', decidedBy: 'anna', at: 5 } },
    ]);
    expect(view.state.phase).toBe('running');
  });

  it('stay the same when they are shown again, and have one answer', () => {
    const view = viewOf(begun, asks, asks, answered('allow'), answered('deny'), asks);
    expect(of(view, 'request')).toMatchObject([{ answer: { behavior: 'allow' } }]);
    expect(view.requests).toEqual([]);
  });

  it('show the changes that a file change would make', () => {
    const changes = [{ path: 'a', kind: { type: 'update', move_path: 'b' }, diff: 'd' }];
    const view = viewOf(started({ type: 'fileChange', id: 'c', status: 'inProgress', changes }), {
      ...asks,
      method: 'item/fileChange/requestApproval',
    });
    expect(view.requests).toMatchObject([{ asks: 'fileChange', changes: [{ path: 'a', movedTo: 'b' }] }]);
  });

  it('of an unknown kind wait too, and end with the task at the latest', () => {
    const view = viewOf({ ...asks, method: 'item/new/request' });
    expect(view.requests).toMatchObject([{ asks: null, method: 'item/new/request' }]);
    view.apply({ id: 2, event: { type: 'x-optio-closed', reason: 'close', outcome: 'closed' } });
    expect(view.requests).toEqual([]);
    expect(of(view, 'request')).toMatchObject([{ answer: { behavior: 'deny', decidedBy: 'closed' } }]);
  });
});

describe('turns, usage and state', () => {
  it('show the times of a turn, its diff and its error', () => {
    const view = viewOf(
      { ...begun, emittedAtMs: 1_000 },
      { method: 'turn/diff/updated', params: { ...about, diff: '--- a' } },
      { ...ended('failed', { message: 'no quota' }), emittedAtMs: 3_000 },
    );
    expect(view.turns).toEqual([
      {
        turnId: 'tu',
        threadId: 'th',
        status: 'failed',
        error: 'no quota',
        startedAt: 1_000,
        endedAt: 3_000,
        isCut: false,
        isHistory: false,
        diff: '--- a',
      },
    ]);
    expect(view.state).toMatchObject({ phase: 'idle', lastError: 'no quota' });
  });

  it('sum the usage of all threads, each by its newest total', () => {
    const used = (threadId: string, totalTokens: number) => ({
      method: 'thread/tokenUsage/updated',
      params: { threadId, turnId: 'tu', tokenUsage: { total: { totalTokens, inputTokens: 1 } } },
    });
    const view = viewOf(used('th', 5), used('sub', 7), used('th', 10));
    expect(view.usage).toMatchObject({ totalTokens: 17, inputTokens: 2, outputTokens: 0 });
  });

  it('follow the phase of the task', () => {
    const phases: string[] = [];
    const view = createView();
    const events = [
      { method: 'configWarning', params: { summary: 's' } },
      { method: 'thread/started', params: { thread: { id: 'th' } } },
      begun,
      { type: 'x-optio-recovering', reason: 'it died' },
      ended('interrupted'),
      { method: 'thread/status/changed', params: { threadId: 'th', status: { type: 'idle' } } },
      { type: 'x-optio-parked', until: '2026-12-01T00:00:00Z' },
      { type: 'x-optio-unparked' },
      { type: 'x-optio-closed', reason: 'close', outcome: 'closed', dropped: ['m9'] },
    ];
    events.forEach((event, i) => {
      view.apply({ id: i + 1, event });
      phases.push(view.state.phase);
    });
    expect(phases).toEqual([
      'starting',
      'idle',
      'running',
      'recovering',
      'recovering',
      'idle',
      'parked',
      'idle',
      'closed',
    ]);
    expect(view.state.ended).toEqual({ outcome: 'closed', reason: 'close', dropped: ['m9'] });
    expect(view.state.lastId).toBe(9);
  });

  it('have the current model, effort and progress', () => {
    const view = viewOf(
      { method: 'thread/started', params: { thread: { id: 'th' } } },
      {
        method: 'thread/settings/updated',
        params: { threadId: 'th', threadSettings: { model: 'a', effort: 'low' } },
      },
      { method: 'thread/settings/updated', params: { threadId: 'sub', threadSettings: { model: 'z' } } },
      {
        type: 'x-optio-control-update',
        controls: [
          { id: 'model', value: 'b' },
          { id: 'reasoning_effort', value: 'high' },
        ],
      },
      { type: 'x-optio-status', line: 1, percent: 40, text: 'half' },
    );
    expect(view.state).toMatchObject({ model: 'b', effort: 'high', progress: { percent: 40, text: 'half' } });
    expect(view.state.controls).toHaveLength(2);
  });

  it('mark earlier turns of the thread, which neither run nor start the task', () => {
    const history = { 'x-optio-history': true };
    const view = viewOf(
      { ...begun, ...history },
      { ...item(message('earlier')), ...history },
      { ...ended(), ...history },
    );
    expect(view.turns).toMatchObject([{ isHistory: true, status: 'completed' }]);
    expect(view.items.every(({ isHistory }) => isHistory)).toBe(true);
    expect(view.state.phase).toBe('starting');
  });
});

describe('a gap', () => {
  const gap = { type: 'x-optio-gap', from: 3, to: 9 };

  it('cuts open items and is shown with the ids that this reader misses', () => {
    const view = viewOf(begun, delta('Hel'), delta('lo'));
    view.apply({ id: 9, event: gap });
    expect(of(view, 'message')).toMatchObject([{ text: 'Hello', isCut: true }]);
    expect(view.turns).toMatchObject([{ status: 'interrupted', isCut: true }]);
    expect(of(view, 'notice')).toMatchObject([
      { name: 'x-optio-gap', level: 'error', event: { from: 4, to: 9 } },
    ]);
    expect(view.state).toMatchObject({ phase: 'idle', lastId: 9 });
  });

  it('leaves a text as a prefix of the whole, which its end brings', () => {
    const view = viewOf(begun, delta('Hel'));
    view.apply({ id: 9, event: gap });
    view.apply({ id: 10, event: delta('world') });
    expect(of(view, 'message')).toMatchObject([{ text: 'Hel' }]);
    view.apply({ id: 11, event: item(message('Hello world')) });
    expect(of(view, 'message')).toMatchObject([{ text: 'Hello world', isCut: false }]);
    expect(view.turns).toMatchObject([{ status: 'inProgress', isCut: false }]);
    expect(view.state.phase).toBe('running');
  });
});

describe('an unknown event', () => {
  it.each([
    [{}],
    [{ type: 'x-optio-new' }],
    [{ method: 'new/thing', params: null }],
    [{ method: 'item/completed' }],
    [{ method: 'item/completed', params: { item: 'none' } }],
    [{ method: 'turn/completed', params: { turn: 7 } }],
    [{ type: 'x-optio-late', event: { type: 'x-optio-late', event: {} } }],
    [{ id: 5, result: {} }],
    [{ type: 'x-optio-permission-answered', request_id: '7' }],
  ])('changes nothing: %j', (event) => {
    expect(viewOf(event).snapshot()).toEqual({
      ...createView().snapshot(),
      state: { ...createView().state, lastId: 1 },
    });
  });

  it('has no number when it is no event at all', () => {
    const view = viewOf(begun);
    const before = view.snapshot();
    for (const id of [NaN, -1, 0, 1, 1.5, Infinity]) view.apply({ id, event: delta('x') });
    expect(view.snapshot()).toBe(before);
  });
});

it('a snapshot does not change with later events', () => {
  const view = viewOf(begun, delta('a'));
  const snapshot = view.snapshot();
  expect(view.snapshot()).toBe(snapshot);
  const kept = structuredClone(snapshot);
  view.apply({ id: 3, event: delta('b') });
  view.apply({ id: 4, event: asks });
  expect(snapshot).toEqual(kept);
  expect(view.snapshot()).not.toBe(snapshot);
});
