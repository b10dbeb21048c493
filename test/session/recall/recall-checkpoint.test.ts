import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { errorKind } from '../../../src/codex/narrow.js';
import type { RateLimitSnapshot } from '../../../src/codex/protocol.js';
import { type Journal } from '../../../src/journal/journal.js';
import { openRecallWriter, type RecallWriter } from '../../../src/session/recall/recall-writer.js';
import { recallMore, recallEvents, type RecallableEvent } from '../../../src/session/recall/recall-events.js';
import { taskFolder, type TaskFolder } from '../../../src/task-folder/task-folder.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { openJournal } from '../../../src/journal/open-journal.js';
import { nothingRecalled } from '../../../src/session/recall/recalled-events.js';

const THREAD = 'T';
const noLedger = { past: [] };

let folder: TaskFolder;
let journal: Journal;
let checkpoints: RecallWriter;

beforeEach(async () => {
  folder = taskFolder(await testFolder(), 't1');
  journal = await openJournal(folder.journal);
  onTestFinished(() => journal.close());
  const log = pino({ enabled: false });
  checkpoints = openRecallWriter({
    file: folder.checkpoint,
    threadId: THREAD,
    journal,
    recalled: nothingRecalled(),
    log,
  });
});

/** Writes an event, and has it noted unless it is a delta, as a conversation does. */
function happens(method: string, params: Omit<NonNullable<RecallableEvent['params']>, 'threadId'>): void {
  const event = { method, params: { threadId: THREAD, ...params } };
  journal.append(JSON.stringify(event));
  if (method !== 'item/agentMessage/delta' && method !== 'turn/completed') checkpoints.note(event);
}

const message = (id: string, text: string) => ({ type: 'agentMessage' as const, id, text });

function turn(n: number, deltas: number): void {
  happens('turn/started', { turn: { id: `turn-${n}`, status: 'inProgress' } });
  const said = { type: 'userMessage' as const, id: `user-${n}`, clientId: `message-${n}`, content: [] };
  happens('item/completed', { turnId: `turn-${n}`, item: said });
  for (const event of [
    { method: 'item/commandExecution/requestApproval', id: `1-${n}`, params: { threadId: 'of a sub-agent' } },
    // The third is open.
    ...(n === 3 ? [] : [{ type: 'x-optio-permission-answered', request_id: `1-${n}` }]),
  ]) {
    journal.append(JSON.stringify(event));
    checkpoints.noteRequest(`1-${n}`, 'id' in event ? 'open' : 'ended');
  }
  happens('item/started', { turnId: `turn-${n}`, item: message(`item-${n}`, '') });
  for (let i = 0; i < deltas; i++) happens('item/agentMessage/delta', { itemId: `item-${n}`, delta: 'x' });
}

function turnEnds(n: number): void {
  happens('item/completed', { turnId: `turn-${n}`, item: message(`item-${n}`, `answer ${n}`) });
  happens('turn/completed', { turn: { id: `turn-${n}`, status: 'completed' } });
  checkpoints.turnEnded({ id: `turn-${n}`, status: 'completed', error: null, timedOut: false });
}

/** Waits until the newest event is in a checkpoint. */
const saved = () =>
  until('the checkpoint', async () => {
    const text = await readFile(folder.checkpoint, 'utf8').catch(() => '{}');
    return (JSON.parse(text) as { after?: number }).after === journal.takenId;
  });

it('recalls the same as all events do, but reads only the newest ones', async () => {
  for (let n = 1; n <= 5; n++) {
    turn(n, 3);
    turnEnds(n);
  }
  await saved();
  const { takenId } = journal;
  turn(6, 3);
  await journal.flushed();
  const all = await recallMore(journal, THREAD);
  const read: number[] = [];
  const watched = {
    lastId: journal.lastId,
    read: (after: number, max: number) => (read.push(after), journal.read(after, max)),
  } as unknown as Journal;
  const short = await recallEvents(watched, noLedger, THREAD, folder);
  expect(read[0]).toBe(takenId);
  // Items matter as long as their turn is open.
  expect({ ...short, endedItems: null }).toEqual({ ...all, endedItems: null });
  expect([...short.endedItems]).toEqual(['user-6']);
  expect([...short.requests].filter(([, stage]) => stage === 'open')).toEqual([['1-3', 'open']]);
  expect(short).toMatchObject({ turns: 5, openTurn: 'turn-6', lastTurn: { id: 'turn-5' } });
});

it.each([
  { status: 'completed', error: null },
  { status: 'interrupted', error: null },
  { status: 'failed', error: { message: 'out of quota', codexErrorInfo: 'usageLimitExceeded' as const } },
  { status: 'failed', error: { message: 'no answer', codexErrorInfo: { badRequest: null } as never } },
])('recalls the same of a turn that is $status with $error', async ({ status, error }) => {
  turn(1, 1);
  const windows = { limitId: 'codex', primary: { usedPercent: 100 } } as RateLimitSnapshot;
  happens('account/rateLimits/updated', { rateLimits: windows });
  happens('turn/completed', { turn: { id: 'turn-1', status, error } });
  checkpoints.turnEnded({
    id: 'turn-1',
    status,
    error: error?.message ?? null,
    ...(error && { errorKind: errorKind(error.codexErrorInfo) }),
    timedOut: false,
  });
  await saved();
  await journal.flushed();
  const all = await recallMore(journal, THREAD);
  const short = await recallEvents(journal, noLedger, THREAD, folder);
  expect(short.lastTurn).toEqual(all.lastTurn);
  expect(short.rateLimits).toEqual([windows]);
});

it('holds an open request, however many ended after it', async () => {
  checkpoints.noteRequest('1-0', 'open');
  for (let n = 1; n <= 1_500; n++) checkpoints.noteRequest(`1-${n}`, 'ended');
  turn(1, 1);
  turnEnds(1);
  await saved();
  const { requests } = await recallEvents(journal, noLedger, THREAD, folder);
  expect(requests.get('1-0')).toBe('open');
  expect(requests.size).toBeLessThan(1_100);
});

it('holds the text of a message that has not ended', async () => {
  turn(1, 3);
  checkpoints.among([message('item-1', 'xxx')]);
  await saved();
  happens('item/agentMessage/delta', { itemId: 'item-1', delta: 'y' });
  await journal.flushed();
  const recalled = await recallEvents(journal, noLedger, THREAD, folder);
  expect(recalled).toMatchObject({ openTurn: 'turn-1', turns: 0 });
  expect(recalled.openItems.get('item-1')).toMatchObject({ text: 'xxxy' });
  expect(recalled.messages.get('message-1')).toBe('turn-1');
});

it('is dropped when it is ahead of its journal or of another thread', async () => {
  turn(1, 1);
  turnEnds(1);
  await saved();
  const behind = { lastId: journal.lastId - 1, read: () => Promise.resolve(null) } as unknown as Journal;
  expect(await recallEvents(behind, noLedger, THREAD, folder)).toEqual(nothingRecalled());
  expect(existsSync(folder.checkpoint)).toBe(false);
  turn(2, 1);
  turnEnds(2);
  await saved();
  // Requests are those of the task, whoever of its threads asked.
  const { requests, ...rest } = await recallEvents(journal, noLedger, 'another', folder);
  expect({ ...rest, requests: new Map() }).toEqual(nothingRecalled());
  expect([...requests.keys()]).toEqual(['1-1', '1-2']);
});

it('skips damaged events, whichever events come first', async () => {
  const turn = { id: 't1', status: 'completed' };
  journal.append(JSON.stringify({ params: { threadId: THREAD, turn }, method: 'turn/completed' }));
  journal.append('{"method":"turn/completed","params":{"thr');
  journal.append(JSON.stringify({ request_id: 'r', type: 'x-optio-permission-answered' }));
  await journal.flushed();
  const recalled = await recallMore(journal, THREAD);
  expect(recalled).toMatchObject({ turns: 1, lastTurn: { id: 't1' } });
  expect([...recalled.requests]).toEqual([['r', 'ended']]);
});
