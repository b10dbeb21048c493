import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Rpc } from '../../../src/codex/rpc.js';
import { catchUp } from '../../../src/session/connect/catch-up.js';
import type { Thread } from '../../../src/session/conversation/thread.js';
import { openLedger, type LedgerRecord } from '../../../src/task-folder/ledger.js';
import { MessageQueue } from '../../../src/session/conversation/message-queue.js';
import { recallEvents } from '../../../src/session/recall/recall-events.js';
import { testFolder } from '../../support/folders.js';
import { openJournal } from '../../../src/journal/open-journal.js';
import type { RecalledEvents } from '../../../src/session/recall/recalled-events.js';

const THREAD = 'T';
const USER = { id: 'i', type: 'userMessage', clientId: 'a', content: [] };

/** Codex's thread with one turn that broke off, until that is reverted. */
function codexWithBrokenTurn() {
  let turns = [{ id: 'u', status: 'interrupted', items: [USER], error: null }];
  const call = (method: string, params: { beforeTurnId?: string }) => {
    if (method === 'thread/revert') turns = turns.filter(({ id }) => id !== params.beforeTurnId);
    return Promise.resolve({ data: turns, nextCursor: null });
  };
  return { rpc: { call } as unknown as Rpc, turns: () => turns.length };
}

/** A worker that takes the task up after the last one was killed. */
async function nextWorker(folder: string) {
  const ledger = await openLedger(join(folder, 'ledger'));
  const journal = await openJournal(join(folder, 'journal'));
  onTestFinished(async () => {
    await journal.close();
    await ledger.close().catch(() => undefined);
  });
  const recalled = await recallEvents(journal, ledger, THREAD, { checkpoint: join(folder, 'recall.json') });
  const queue = new MessageQueue(ledger);
  const thread = {
    takeUp: () => undefined,
    router: { route: (_method: string, _params: unknown, raw: string) => void journal.append(raw) },
    sendAgain: (turnId: string, ids: string[]) => queue.again(turnId, ids),
    decideUnconfirmed: (inThread: (id: string) => boolean) => queue.decide(inThread),
  } as unknown as Thread;
  return { ledger, journal, recalled, queue, thread };
}

async function begun(records: LedgerRecord[], ended: boolean) {
  const folder = await testFolder();
  const { ledger, journal } = await nextWorker(folder);
  await ledger.write({ t: 'message', message: { messageId: 'a', text: 'x' } });
  await ledger.write({ t: 'turn', messageId: 'a' });
  await ledger.write({ t: 'accepted', messageId: 'a' });
  for (const record of records) await ledger.write(record);
  const say = (method: string, params: object) =>
    journal.append(JSON.stringify({ method, params: { threadId: THREAD, ...params } }));
  say('turn/started', { turn: { id: 'u', status: 'inProgress' } });
  say('item/completed', { turnId: 'u', item: USER });
  if (ended) say('turn/completed', { turn: { id: 'u', status: 'interrupted' } });
  await journal.flushed();
  return folder;
}

const takeUp = async (folder: string) => {
  const worker = await nextWorker(folder);
  // Each launch notes its process first.
  await worker.ledger.write({ t: 'process', incarnation: 2 });
  return worker;
};
const catchUpWith = (rpc: Rpc, thread: Thread, recalled: RecalledEvents) =>
  catchUp(rpc, THREAD, thread, recalled, true);

test.each([
  ['broke off with its codex', [], false],
  ['was suspended by a stopping worker', [{ t: 'suspended', turnId: 'u' } as const], true],
])('a turn that %s gets its message again, whenever a worker is killed meanwhile', async (...args) => {
  const [, records, ended] = args;
  const folder = await begun(records, ended);
  const { rpc, turns } = codexWithBrokenTurn();
  // Killed before it came to catch up.
  await takeUp(folder);
  // Killed when codex has just reverted the turn.
  const second = await takeUp(folder);
  const stuck = { ...second.thread, sendAgain: () => Promise.reject(new Error('killed')) };
  await expect(catchUpWith(rpc, stuck as unknown as Thread, second.recalled)).rejects.toThrow('killed');
  expect(turns()).toBe(0);
  // Killed when all is caught up, and nothing is sent yet.
  const third = await takeUp(folder);
  await catchUpWith(rpc, third.thread, third.recalled);
  expect(third.queue.shift()?.messageId).toBe('a');
  expect(third.queue.size).toBe(0);
  await third.journal.flushed();
  const fourth = await takeUp(folder);
  await catchUpWith(rpc, fourth.thread, fourth.recalled);
  expect(fourth.queue.shift()?.messageId).toBe('a');
  expect(fourth.queue.size).toBe(0);
  expect(fourth.recalled).toMatchObject(ended ? { lastTurn: null, suspended: null } : { openTurn: null });
  // Codex has it at last.
  await fourth.ledger.write({ t: 'turn', messageId: 'a' });
  fourth.queue.arrived('a');
  await fourth.ledger.sync();
  expect((await nextWorker(folder)).queue.ids).toEqual([]);
});

test('a turn that ended after its time limit is reported as timed out', async () => {
  const folder = await begun([{ t: 'overdue', turnId: 'u' }], true);
  const { recalled } = await nextWorker(folder);
  expect(recalled.lastTurn).toMatchObject({ id: 'u', status: 'interrupted', timedOut: true });
});
