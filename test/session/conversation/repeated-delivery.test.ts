import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deliverInOrder, DONE_ONCE, type Deliverer } from '../../../src/activities/delivery-parts.js';
import { openHookRequests } from '../../../src/session/agent-channel/hook-requests.js';
import { readLedger } from '../../../src/task-folder/ledger.js';
import type { Delivery } from '../../../src/contract/activities.js';
import { scriptedCodex, type ScriptedCodex } from '../../fakes/codex-calls.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { nothingRecalled } from '../../../src/session/recall/recalled-events.js';

const EMPTY: Delivery = {
  ref: { taskId: 't', runId: 'r', assignmentId: 's' },
  messages: [],
  decisions: [],
  answers: [],
  controls: [],
  close: false,
};
const INTERRUPT: Delivery = { ...EMPTY, interrupts: [{ interruptId: 'i1' }] };

const ANSWERED = ['turn/interrupt', 'thread/backgroundTerminals/clean'];
const ledgerPath = async () => join(await testFolder(), 'ledger');
const interrupts = ({ calls }: ScriptedCodex) =>
  calls.filter(({ method }) => method === 'turn/interrupt').map(({ params }) => params['turnId']);
const send = (codex: ScriptedCodex, messageId: string) => codex.thread.accept({ messageId, text: messageId });

/** As the step does it. */
function deliver({ thread, ledger }: ScriptedCodex, delivery: Delivery): Promise<void> {
  const hookRequests = openHookRequests(ledger, () => undefined);
  const to: Deliverer = {
    message: (message) => thread.accept(message, { reopen: true }),
    decision: (decision) => thread.permissions.decide(decision),
    control: (control) => thread.setControl(control),
    answer: (answer) => hookRequests.settle(answer),
    interrupt: (word) => thread.interrupt(word),
    rules: (rules) => thread.permissions.setRules(rules),
  };
  return deliverInOrder(delivery, to, async () => []);
}

/** In turn `t1` of message `a`. */
async function working(path: string): Promise<ScriptedCodex> {
  const codex = await scriptedCodex({ ledgerPath: path, answered: ANSWERED });
  codex.thread.turns.begin();
  await send(codex, 'a');
  await codex.begin('t1');
  return codex;
}

/** What a later worker makes of it. */
const nextWorker = (path: string, messages: [string, string][] = []) =>
  scriptedCodex({
    ledgerPath: path,
    answered: ANSWERED,
    recalled: { ...nothingRecalled(), messages: new Map(messages) },
  });

test('interrupts no turn that began after the first delivery, even with a new worker', async () => {
  const path = await ledgerPath();
  const codex = await working(path);
  await deliver(codex, INTERRUPT);
  codex.complete('t1', 'interrupted');
  await send(codex, 'b');
  await codex.begin('t2', 2);
  await deliver(codex, INTERRUPT);
  expect(interrupts(codex)).toEqual(['t1']);
  codex.thread.leave({ isGone: false });

  const next = await nextWorker(path, [['b', 't2']]);
  next.thread.takeUp('t2', []);
  next.thread.interrupts.again();
  await deliver(next, INTERRUPT);
  expect(interrupts(next)).toEqual([]);
  // Another word is another matter.
  await deliver(next, { ...EMPTY, interrupts: [{ interruptId: 'i2' }] });
  expect(interrupts(next)).toEqual(['t2']);
});

test('interrupts a turn again only when Codex did not answer the first interrupt', async () => {
  const codex = await scriptedCodex({ answered: ['thread/backgroundTerminals/clean'] });
  codex.thread.turns.begin();
  await send(codex, 'a');
  await codex.begin('t1');
  const interrupt = (interruptId: string) => codex.thread.interrupt({ interruptId });
  const first = interrupt('i1');
  (await codex.called('turn/interrupt', 1)).reject(new Error('turn/interrupt timed out'));
  await first;
  const second = interrupt('i2');
  // One that comes while another is under way is asked when that has failed.
  const third = interrupt('i3');
  (await codex.called('turn/interrupt', 2)).reject(new Error('turn/interrupt timed out'));
  (await codex.called('turn/interrupt', 3)).resolve({});
  await Promise.all([second, third]);
  await interrupt('i4');
  expect(interrupts(codex)).toEqual(['t1', 't1', 't1']);
});

test('interrupts the running turn when the worker died before it asked Codex', async () => {
  const path = await ledgerPath();
  const codex = await working(path);
  await codex.ledger.write({ t: 'interrupt', id: 'i1', turnId: 't1', messageId: 'a' });
  codex.thread.leave({ isGone: false });
  const next = await nextWorker(path);
  next.thread.takeUp('t1', []);
  next.thread.interrupts.again();
  expect(interrupts(next)).toEqual(['t1']);
  await deliver(next, INTERRUPT);
  expect(interrupts(next)).toEqual(['t1']);
});

test('interrupts a turn whose id was unknown when the worker died', async () => {
  const path = await ledgerPath();
  const codex = await scriptedCodex({ ledgerPath: path, answered: ANSWERED });
  codex.thread.turns.begin();
  await send(codex, 'a');
  await codex.called('turn/start');
  await deliver(codex, INTERRUPT);
  expect(interrupts(codex)).toEqual([]);
  codex.thread.leave({ isGone: false });
  const next = await nextWorker(path, [['a', 't1']]);
  next.thread.takeUp('t1', []);
  next.thread.interrupts.again();
  expect(interrupts(next)).toEqual(['t1']);
});

test('interrupts the turn of a message that is repeated because its Codex died', async () => {
  const path = await ledgerPath();
  const codex = await working(path);
  codex.item('completed', 't1', { type: 'userMessage', id: 'u', clientId: 'a', content: [] });
  await deliver(codex, INTERRUPT);
  codex.thread.leave({ isGone: true });
  const next = await nextWorker(path, [['a', 't1']]);
  await next.thread.sendAgain('t1', ['a']);
  next.thread.turns.begin();
  await next.begin('t2');
  expect((await next.called('turn/interrupt')).params).toMatchObject({ turnId: 't2' });
});

test('interrupts a turn that is about to begin, once', async () => {
  let finish: () => void = () => undefined;
  const betweenTurns = () => new Promise<void>((resolve) => (finish = resolve));
  const codex = await scriptedCodex({ ledgerPath: await ledgerPath(), answered: ANSWERED, betweenTurns });
  codex.thread.turns.begin();
  await send(codex, 'a');
  await codex.begin('t1');
  await send(codex, 'b');
  await send(codex, 'c');
  codex.complete('t1');
  await deliver(codex, INTERRUPT);
  finish();
  await codex.begin('t2', 2);
  codex.complete('t2', 'interrupted');
  await deliver(codex, INTERRUPT);
  await until('what follows', () => codex.thread.turns.runningId === null);
  finish();
  await codex.begin('t3', 3);
  expect(interrupts(codex)).toEqual(['t2']);
});

test('interrupts without room for a record, and stops no later turn', async () => {
  const codex = await working(await ledgerPath());
  await codex.ledger.close();
  await deliver(codex, INTERRUPT);
  expect(interrupts(codex)).toEqual(['t1']);
});

test('keeps choices made after the first delivery, even with a new worker', async () => {
  const path = await ledgerPath();
  const codex = await working(path);
  const chosen = ({ thread }: ScriptedCodex) => thread.choice.controls()[0]?.value;
  const delivery: Delivery = { ...EMPTY, controls: [{ id: 'model', value: 'first', changeId: 'c1' }] };
  await deliver(codex, delivery);
  await codex.thread.setControl({ id: 'model', value: 'second' });
  await deliver(codex, delivery);
  expect(chosen(codex)).toBe('second');
  codex.thread.leave({ isGone: false });
  const next = await nextWorker(path);
  await deliver(next, delivery);
  expect(chosen(next)).toBe('second');
});

test('records each part of a delivery once by its id, whatever a later worker has', async () => {
  const path = await ledgerPath();
  const codex = await working(path);
  await codex.ledger.write({
    t: 'hookRequest',
    hookRequest: { id: 'e1', kind: 'callerMessage', text: 'x' } as never,
  });
  codex.ask(0, 'item/commandExecution/requestApproval', { command: 'ls', cwd: '/' });
  await until('the request', () => codex.requested.length === 1);
  const whole: Required<Delivery> = {
    ...EMPTY,
    messages: [{ messageId: 'm1', text: 'x' }],
    decisions: [{ requestId: '1-0', behavior: 'allow' }],
    answers: [{ id: 'e1', text: null }],
    controls: [{ id: 'model', value: 'x', changeId: 'c1' }],
    interrupts: [{ interruptId: 'i1' }],
    rules: [{ revision: 1, rules: [] }],
    batches: [],
    order: ['message', 'decision', 'answer', 'control', 'interrupt', 'rules'],
  };
  await deliver(codex, whole);
  await deliver(codex, whole);
  codex.thread.leave({ isGone: false });
  const next = await nextWorker(path);
  await deliver(next, whole);
  const records = (await readLedger(path)).map(({ t }) => t);
  for (const [field, once] of Object.entries(DONE_ONCE))
    if (typeof once === 'object' && 'id' in once) {
      expect(Object.keys((whole[field as 'messages'][0] ?? {}) as object), field).toContain(once.id);
      // Message `a` was not delivered.
      const others = once.record === 'message' ? 1 : 0;
      expect(records.filter((each) => each === once.record).length - others, field).toBe(1);
    }
});

test('finds the session closed when a close is repeated', async () => {
  const path = await ledgerPath();
  const codex = await working(path);
  await codex.thread.close();
  await codex.thread.close();
  codex.complete('t1', 'interrupted');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  expect(interrupts(codex)).toEqual(['t1']);
});

describe('a turn whose time limit ran out when its worker died', () => {
  async function overdue(path: string): Promise<void> {
    const codex = await scriptedCodex({ ledgerPath: path, answered: ANSWERED, mode: 'task', turnMs: 50 });
    codex.thread.turns.begin();
    await send(codex, 'a');
    await codex.begin('t1');
    await codex.called('turn/interrupt');
    codex.thread.leave({ isGone: false });
  }

  const nextOf = (path: string) =>
    scriptedCodex({ ledgerPath: path, answered: ANSWERED, mode: 'task', recalled: nothingRecalled() });

  test('is interrupted again by the next worker, and fails its task', async () => {
    const path = await ledgerPath();
    await overdue(path);
    const next = await nextOf(path);
    next.thread.takeUp('t1', []);
    next.thread.interrupts.again();
    expect(interrupts(next)).toEqual(['t1']);
    next.complete('t1', 'interrupted');
    expect(await next.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'TurnTimedOut' });
  });

  test('is not repeated when its Codex died too', async () => {
    const path = await ledgerPath();
    await overdue(path);
    const next = await nextOf(path);
    next.thread.takeUp('t1', []);
    await next.thread.sendAgain('t1', ['a']);
    next.complete('t1', 'interrupted');
    expect(await next.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'TurnTimedOut' });
    expect(next.calls.filter(({ method }) => method === 'turn/start')).toEqual([]);
  });
});
