import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { scriptedCodex, type ScriptedCodex } from '../../fakes/codex-calls.js';
import { elapse } from '../../support/elapse.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { nothingRecalled } from '../../../src/session/recall/recalled-events.js';

const COMMAND = 'item/commandExecution/requestApproval';
const names = ({ events }: ScriptedCodex) => events.map(({ method, type }) => method ?? type);
const send = ({ thread }: ScriptedCodex, messageId: string, more: object = {}) =>
  thread.accept({ messageId, text: `text of ${messageId}`, ...more });

/** Writes into the ledger wait until what this gives is called. */
function holdWrites({ ledger }: ScriptedCodex): () => void {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const write = ledger.write.bind(ledger);
  const spy = vi.spyOn(ledger, 'write').mockImplementation((record) => held.then(() => write(record)));
  onTestFinished(() => spy.mockRestore());
  return release;
}

async function running(options: Parameters<typeof scriptedCodex>[0] = {}): Promise<ScriptedCodex> {
  const codex = await scriptedCodex(options);
  codex.thread.turns.begin();
  await send(codex, 'a');
  await codex.begin('t1');
  return codex;
}

test('a message is in the ledger and acknowledged before Codex gets it', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  const write = vi.spyOn(codex.ledger, 'write');
  await send(codex, 'a');
  expect(codex.calls).toEqual([]);
  expect(write).toHaveBeenLastCalledWith({ t: 'message', message: { messageId: 'a', text: 'text of a' } });
  await codex.called('turn/start');
  expect(write).toHaveBeenLastCalledWith({ t: 'turn', messageId: 'a' });
});

test('concurrent messages keep their order, whatever one of them waits for', async () => {
  const workDir = await mkdtemp(join(await testFolder(), 'work'));
  await writeFile(join(workDir, 'picture'), '');
  const codex = await scriptedCodex({ workDir });
  const write = vi.spyOn(codex.ledger, 'write');
  const missing = send(codex, 'wrong', { images: [{ path: 'no/such/picture' }] });
  const all = [send(codex, 'a', { images: [{ path: 'picture' }] }), send(codex, 'b'), send(codex, 'a')];
  await expect(missing).rejects.toMatchObject({ code: 'BadInput' });
  expect(await Promise.all(all)).toEqual([true, true, false]);
  const messages = write.mock.calls.map(([record]) => record.t === 'message' && record.message.messageId);
  expect(messages).toEqual(['a', 'b']);
});

test('the next turn begins only after the end of the one before was sent', async () => {
  const codex = await running();
  await send(codex, 'b');
  codex.item('started', 't1', { id: 'c', type: 'commandExecution', status: 'inProgress' });
  codex.complete('t1');
  expect(names(codex)).not.toContain('turn/completed');
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
  codex.item('completed', 't1', { id: 'c', type: 'commandExecution', status: 'completed' });
  expect(names(codex).at(-1)).toBe('turn/completed');
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'b' });
});

test('a turn waits 2 s for open items at its end, and later ones are marked', async () => {
  const codex = await running();
  codex.item('started', 't1', { id: 'c', type: 'commandExecution', status: 'inProgress' });
  codex.item('started', 't1', { id: 'm', type: 'agentMessage', text: '' });
  for (const delta of ['Hal', 'f'])
    codex.notify('item/agentMessage/delta', { turnId: 't1', itemId: 'm', delta });
  const begun = performance.now();
  codex.complete('t1');
  await until('the end', () => names(codex).includes('turn/completed'));
  expect(performance.now() - begun).toBeGreaterThan(1_900);
  expect(codex.events.slice(-3)).toMatchObject([
    { method: 'item/completed', params: { turnId: 't1', item: { id: 'c', status: 'failed' } } },
    { method: 'item/completed', params: { turnId: 't1', item: { id: 'm', text: 'Half' } } },
    { method: 'turn/completed' },
  ]);
  codex.item('completed', 't1', { id: 'c', type: 'commandExecution', status: 'completed' });
  expect(codex.events.at(-1)).toMatchObject({ type: 'x-optio-late', event: { method: 'item/completed' } });
});

test('a turn that Codex refuses is reported, and the next message continues', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  await send(codex, 'a');
  await send(codex, 'b');
  (await codex.called('turn/start')).reject(new Error('no'));
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'b' });
  expect(codex.events).toMatchObject([{ type: 'x-optio-turn-rejected', messageId: 'a', reason: 'no' }]);
  expect(codex.thread.report().lastError).toBe('no');
});

test('a refused turn is not retried by a later worker, even after a full disk', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  await send(codex, 'a');
  const started = await codex.called('turn/start');
  const full = vi.spyOn(codex.ledger, 'write').mockRejectedValueOnce(new Error('disk full'));
  onTestFinished(() => full.mockRestore());
  started.reject(new Error('no'));
  await until('another try', () => full.mock.calls.length === 2);
  expect(full.mock.calls).toEqual([[{ t: 'accepted', messageId: 'a' }], [{ t: 'accepted', messageId: 'a' }]]);
});

test('a refused turn that could not be reported stays open for a later worker', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  await send(codex, 'a');
  const started = await codex.called('turn/start');
  const flushed = vi.spyOn(codex.journal, 'flushed').mockRejectedValue(new Error('disk full'));
  const written = vi.spyOn(codex.ledger, 'write');
  onTestFinished(() => [flushed, written].forEach((spy) => spy.mockRestore()));
  started.reject(new Error('no'));
  await until('its event', () => names(codex).includes('x-optio-turn-rejected'));
  await send(codex, 'b');
  await codex.called('turn/start', 2);
  expect(flushed).toHaveBeenCalled();
  expect(written.mock.calls).not.toContainEqual([{ t: 'accepted', messageId: 'a' }]);
});

test('a message waits for room on a full disk and is sent once', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  await send(codex, 'a');
  const full = vi.spyOn(codex.ledger, 'write').mockRejectedValueOnce(new Error('disk full'));
  onTestFinished(() => full.mockRestore());
  expect((await codex.called('turn/start')).params).toMatchObject({ clientUserMessageId: 'a' });
  expect(full.mock.calls).toEqual([[{ t: 'turn', messageId: 'a' }], [{ t: 'turn', messageId: 'a' }]]);
  expect(names(codex)).not.toContain('x-optio-turn-rejected');
  expect(codex.thread.queue.ids).toEqual([]);
});

test('a message that waits for room when the session ends is reported as dropped', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  await send(codex, 'a');
  const full = vi.spyOn(codex.ledger, 'write').mockRejectedValue(new Error('disk full'));
  onTestFinished(() => full.mockRestore());
  await until('the full disk', () => full.mock.calls.length > 0);
  codex.thread.fail('HostUnfit', 'disk full');
  await until('its message', () => codex.thread.queue.ids.includes('a'));
  expect(codex.calls).toEqual([]);
});

test('an interrupt waits for the turn to begin, and the next turn for its clean-up', async () => {
  const codex = await scriptedCodex();
  codex.thread.turns.begin();
  await send(codex, 'a');
  await send(codex, 'b');
  await codex.called('turn/start');
  await codex.thread.interrupt();
  expect(codex.calls).toHaveLength(1);
  await codex.begin('t1');
  const interrupt = await codex.called('turn/interrupt');
  expect(interrupt.params).toEqual({ threadId: 'thread', turnId: 't1' });
  codex.complete('t1', 'interrupted');
  interrupt.resolve({});
  const clean = await codex.called('thread/backgroundTerminals/clean');
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
  clean.resolve({});
  await codex.called('turn/start', 2);
});

test('a close ends the session although Codex never answers the interrupt', async () => {
  const codex = await running();
  codex.ask(0, COMMAND);
  const begun = performance.now();
  codex.thread.turns.close();
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  // A mere interrupt waits 10 s for it.
  expect(performance.now() - begun).toBeLessThan(9_500);
  expect(codex.events.slice(-2)).toMatchObject([
    { type: 'x-optio-permission-answered', behavior: 'deny' },
    { method: 'turn/completed', 'x-optio-cut': true },
  ]);
});

test('a turn that outlasts its limit and its interrupt fails the session', { timeout: 20_000 }, async () => {
  const [task, talk] = await Promise.all([running({ mode: 'task', turnMs: 50 }), running({ turnMs: 50 })]);
  expect(await task.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'TurnTimedOut' });
  expect(await talk.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'CodexFailed' });
  expect(names(talk)).toContain('x-optio-turn-timed-out');
});

test('a steer that comes too late is sent once, before the waiting messages', async () => {
  const codex = await running({ mode: 'task' });
  await send(codex, 'later');
  await send(codex, 'now', { steer: true });
  const steer = await codex.called('turn/steer');
  expect(steer.params).toMatchObject({ expectedTurnId: 't1', clientUserMessageId: 'now' });
  codex.complete('t1');
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
  steer.reject(new Error('no active turn to steer'));
  await codex.begin('t2', 2);
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'now' });
  expect(await send(codex, 'now')).toBe(false);
  codex.complete('t2');
  expect((await codex.called('turn/start', 3)).params).toMatchObject({ clientUserMessageId: 'later' });
});

test.each([
  ['message', false],
  ['message that steers', true],
])('a %s written while its turn ends is sent before the session ends', async (_, steer) => {
  const codex = await running({ mode: 'task' });
  const release = holdWrites(codex);
  const ended = vi.fn();
  void codex.thread.turns.whenEnded().then(ended);
  const accepted = send(codex, 'b', { steer });
  codex.complete('t1');
  await until('the end of its turn', () => names(codex).includes('turn/completed'));
  await new Promise(setImmediate);
  expect(ended).not.toHaveBeenCalled();
  release();
  expect(await accepted).toBe(true);
  await codex.begin('t2', 2);
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'b' });
  codex.complete('t2');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
});

test('a steering message accepted just before its turn ended is sent', async () => {
  const codex = await running({ mode: 'task' });
  expect(await send(codex, 'b', { steer: true })).toBe(true);
  codex.complete('t1');
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'b' });
});

test('the idle limit does not end a session while a message is written', async () => {
  const codex = await running({ idleMs: 200 });
  codex.complete('t1');
  await until('its idle time', () => codex.reports.some(({ activity }) => activity === 'idle'));
  const release = holdWrites(codex);
  const accepted = send(codex, 'b');
  await elapse(400);
  release();
  expect(await accepted).toBe(true);
  await codex.called('turn/start', 2);
});

test.each([
  ['was here before', { messageId: 'a', text: 'a' }],
  ['is refused', { messageId: 'b', text: 'b', images: [{ path: '../b' }] }],
])(
  'a message that %s at the end of a turn delays neither its report nor the idle limit',
  async (_, message) => {
    const codex = await running({ idleMs: 200 });
    const accepted = codex.thread.accept(message).catch(() => false);
    codex.complete('t1');
    expect(await accepted).toBe(false);
    await until('its idle time', () => codex.reports.some(({ activity }) => activity === 'idle'));
    expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  },
);

test('steering messages join the turn in the order of their arrival', async () => {
  const workDir = await mkdtemp(join(await testFolder(), 'work'));
  await writeFile(join(workDir, 'picture'), '');
  const codex = await running({ workDir });
  const images = Array.from({ length: 100 }, () => ({ path: 'picture' }));
  await Promise.all([send(codex, 'first', { steer: true, images }), send(codex, 'second', { steer: true })]);
  const steers = () => codex.calls.filter(({ method }) => method === 'turn/steer');
  const first = await codex.called('turn/steer');
  first.resolve({});
  await codex.called('turn/steer', 2);
  expect(steers().map(({ params }) => params['clientUserMessageId'])).toEqual(['first', 'second']);
});

test('mode task ends with its last turn, and a later message may reopen it', async () => {
  const codex = await running({ mode: 'task' });
  codex.complete('t1');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  await expect(send(codex, 'b')).rejects.toMatchObject({ code: 'SessionNotHere' });
  await codex.thread.accept({ messageId: 'b', text: 'x' }, { reopen: true });
  await codex.begin('t2', 2);
  codex.complete('t2', 'interrupted');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'interrupted' });
  expect(codex.thread.report().turns).toBe(1);
});

test('a session without messages ends at its idle limit', async () => {
  const codex = await scriptedCodex({ idleMs: 50 });
  codex.thread.turns.begin();
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
});

test('an idle limit of years does not end the session at once', async () => {
  const codex = await scriptedCodex({ idleMs: 300_000_000_000 });
  codex.thread.turns.begin();
  const ended = codex.thread.turns.whenEnded().then(() => 'ended');
  expect(await Promise.race([ended, elapse(50)])).toBeUndefined();
});

test('a crash of Codex closes items and requests, and names unsent messages', async () => {
  const codex = await running();
  await send(codex, 'b');
  codex.item('started', 't1', { id: 'm', type: 'agentMessage', text: '' });
  codex.ask(0, COMMAND);
  codex.thread.fail('CodexFailed', 'gone');
  expect(await codex.thread.turns.whenEnded()).toMatchObject({ code: 'CodexFailed', message: 'gone' });
  expect(codex.events.slice(-3)).toMatchObject([
    { method: 'item/completed', params: { item: { id: 'm' } } },
    { type: 'x-optio-permission-answered', request_id: '1-0', decidedBy: 'app-server-ended' },
    { method: 'turn/completed', params: { turn: { id: 't1', status: 'interrupted' } }, 'x-optio-cut': true },
  ]);
  expect(codex.settled).toEqual([{ requestId: '1-0', reason: 'app-server-ended' }]);
  expect(codex.thread.queue.ids).toEqual(['b']);
});

test('events of other threads are shown and change nothing but usage', async () => {
  const codex = await running();
  codex.notify('turn/completed', { threadId: 'sub', turn: { id: 't1', status: 'completed', items: [] } });
  codex.notify('thread/tokenUsage/updated', {
    threadId: 'sub',
    turnId: 'x',
    tokenUsage: { total: { totalTokens: 9 } },
  });
  expect(codex.thread.report()).toMatchObject({ activity: 'running', usage: { totalTokens: 9 } });
  expect(names(codex)).toEqual(['turn/started', 'turn/completed', 'thread/tokenUsage/updated']);
});

test('a turn ends with its id and status, whatever else Codex reports of it', async () => {
  const codex = await running({ mode: 'task' });
  codex.notify('turn/completed', { turn: { id: 't1', status: 'completed' } });
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  expect(codex.thread.report().turns).toBe(1);
});

test('malformed notifications are shown and change nothing', async () => {
  const codex = await running();
  const before = codex.thread.report();
  for (const method of [
    'item/started',
    'item/completed',
    'turn/started',
    'turn/completed',
    'error',
    'item/agentMessage/delta',
    'serverRequest/resolved',
    'thread/settings/updated',
  ])
    for (const params of [{}, { turnId: 't1', item: null }, { turn: 7 }, { item: { id: 1 } }, { error: 'x' }])
      codex.notify(method, params);
  codex.thread.router.route('turn/completed', null, '{"method":"turn/completed","params":null}');
  const { revision } = codex.thread.report();
  expect(codex.thread.report()).toEqual({ ...before, revision: expect.any(Number) as number });
  expect(revision).toBeGreaterThan(before.revision);
  expect(codex.events).toHaveLength(42);
});

test('a restart repeats open requests without an announcement, and decided answers', async () => {
  const ledgerPath = join(await testFolder(), 'ledger');
  const first = await running({ ledgerPath });
  first.ask(0, COMMAND);
  first.ask(1, 'item/tool/requestUserInput', { questions: [] });
  const updatedInput = { answers: { q: { answers: ['x'] } } };
  await first.thread.permissions.decide({ requestId: '1-1', behavior: 'allow', updatedInput });
  await first.ledger.close();

  const requests = new Map([
    ['1-0', 'open'],
    ['1-1', 'ended'],
  ] as const);
  const second = await scriptedCodex({ ledgerPath, recalled: { ...nothingRecalled(), requests } });
  expect(second.thread.queue.undecidedIds).toEqual(['a']);
  second.ask(0, COMMAND);
  second.ask(1, 'item/tool/requestUserInput', { questions: [] });
  expect(second.answers.get(1)).toEqual({ answers: updatedInput.answers });
  expect(second.requested).toEqual([{ ...first.requested[0], openedAt: expect.any(String) as string }]);
  expect(names(second)).toEqual([]);
  second.thread.turns.begin();
  second.thread.decideUnconfirmed(() => false);
  expect((await second.called('turn/start')).params).toMatchObject({ clientUserMessageId: 'a' });
});

test.each([
  ['item/tool/call', { tool: 'x' }],
  ['currentTime/read', { threadId: 'thread' }],
])('%s that nobody can decide is refused and not shown as a request', async (method, params) => {
  const codex = await running();
  const before = codex.events.length;
  codex.ask(0, method, params);
  expect(codex.answers.get(0)).toEqual({ error: -32601 });
  expect(codex.events.slice(before)).toMatchObject([{ type: 'x-optio-unsupported', method }]);
  expect(codex.requested).toEqual([]);
});

test('a request is answered once, however many decide it', async () => {
  const codex = await running();
  codex.ask(0, COMMAND);
  const { thread } = codex;
  expect([thread.permissions.claim('1-0'), thread.permissions.claim('1-0')]).toEqual([true, false]);
  const decide = (behavior: 'allow' | 'deny') => thread.permissions.decide({ requestId: '1-0', behavior });
  await Promise.all([decide('allow'), decide('deny'), decide('allow')]);
  codex.notify('serverRequest/resolved', { requestId: 0 });
  await decide('deny');
  expect(codex.answers.get(0)).toEqual({ decision: 'accept' });
  expect(names(codex).filter((name) => name === 'x-optio-permission-answered')).toHaveLength(1);
  expect(thread.permissions.claim('1-0')).toBe(false);
});

test('a decision that cannot be written leaves the request open', async () => {
  const codex = await running();
  codex.ask(0, COMMAND);
  const write = vi.spyOn(codex.ledger, 'write').mockRejectedValueOnce(new Error('disk full'));
  onTestFinished(() => write.mockRestore());
  const decision = { requestId: '1-0', behavior: 'allow' } as const;
  await expect(codex.thread.permissions.decide(decision)).rejects.toThrow('disk full');
  expect(codex.answers.size).toBe(0);
  await codex.thread.permissions.decide(decision);
  expect(codex.answers.get(0)).toEqual({ decision: 'accept' });
});

test('the next turn and a close wait for the work after a turn', async () => {
  let finish: () => void = () => undefined;
  let calls = 0;
  const betweenTurns = () => {
    calls++;
    return new Promise<void>((resolve) => (finish = resolve));
  };
  const codex = await running({ betweenTurns });
  await send(codex, 'b');
  codex.complete('t1');
  await until('what follows', () => calls === 1);
  codex.thread.turns.begin();
  await codex.thread.interrupt();
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
  expect(codex.thread.report().activity).toBe('running');
  finish();
  await codex.begin('t2', 2);
  codex.complete('t2');
  await until('what follows again', () => calls === 2);
  let end: unknown = null;
  const ended = codex.thread.turns.whenEnded().then((each) => (end = each));
  codex.thread.turns.close();
  expect(end).toBeNull();
  finish();
  expect(await ended).toEqual({ kind: 'closed' });
});

test('a held thread ends its turn and begins no other', async () => {
  const codex = await running();
  await send(codex, 'b');
  const held = codex.thread.turns.hold();
  codex.complete('t1');
  await held;
  await codex.thread.interrupt();
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
  expect(codex.thread.queue.ids).toEqual(['b']);
});

test('a detached thread begins no turn and never ends', async () => {
  const codex = await running();
  codex.thread.leave({ isGone: false });
  codex.notify('turn/started', { turn: { id: 't2', status: 'inProgress', items: [], error: null } });
  expect(codex.thread.turns.runningId).toBeNull();
  codex.thread.fail('CodexFailed', 'codex is gone');
  expect(codex.thread.turns.hasEnded).toBe(false);
});
