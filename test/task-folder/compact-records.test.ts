import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { HookRequest } from '../../src/contract/index.js';
import { firstMessages } from '../../src/session/connect/first-messages.js';
import { recallCutTurns } from '../../src/session/conversation/interrupts.js';
import { ModelChoice } from '../../src/session/conversation/model-choice.js';
import { openHookRequests } from '../../src/session/agent-channel/hook-requests.js';
import { PROTOCOL_LOG } from '../../src/session/agent-channel/host-protocol.js';
import { tokensIn } from '../../src/session/agent-channel/protocol-tokens.js';
import { takeOverHookRequests } from '../../src/session/agent-channel/take-over-hook-requests.js';
import { compactRecords } from '../../src/task-folder/compact-records.js';
import { openDoneOnce } from '../../src/session/conversation/done-once.js';
import { threadIn } from '../../src/task-folder/ledger.js';
import { countOf, overdueTurns, type Ledger, type LedgerRecord } from '../../src/task-folder/ledger.js';
import { lossWithWorker, recallLosses } from '../../src/task-folder/losses.js';
import { MessageQueue } from '../../src/session/conversation/message-queue.js';
import { recallRequests } from '../../src/session/conversation/recalled-requests.js';
import { testFolder } from '../support/folders.js';
import { range } from '../support/range.js';
import { growLedger, type Grown } from './grow-ledger.js';
import { takenIn, unconfirmedIn } from '../../src/task-folder/taken-messages.js';

type Past = readonly LedgerRecord[];
const MODELS = { models: [] } as never;

/** What everybody who takes a task up reads from its ledger, of these ids. */
async function stateOf(
  past: Past,
  work: string,
  { messageIds, turnIds, changeIds, interruptIds, requestIds, hookRequestIds }: Grown,
) {
  const newest = (t: LedgerRecord['t']) => past.findLast((each) => each.t === t);
  const suspended = past.findLast((each) => each.t === 'suspended')?.turnId;
  const cut = recallCutTurns(past);
  const told: HookRequest[] = [];
  const permissions = openHookRequests(
    { past, write: () => Promise.resolve() },
    (hookRequest) => void told.push(hookRequest),
  );
  const choice = new ModelChoice({
    models: MODELS,
    model: 'm',
    effort: 'e',
    wantedEffort: 'w',
    past,
    emit: () => undefined,
  });
  const { decisions } = recallRequests(past, { requests: new Map() });
  const unconfirmed = unconfirmedIn(past);
  return {
    newest: (['thread', 'boot', 'process', 'suspended', 'close', 'ending', 'protocol'] as const).map(newest),
    thread: threadIn(past),
    isEnding: past.some(({ t }) => t === 'ending'),
    verdict: past.find(({ t }) => t === 'verdict'),
    counts: [countOf(past, 'threads'), countOf(past, 'suspended')],
    wasTakenBack: past.some((each) => each.t === 'again' && each.turnId === suspended),
    losses: [0, 1, 2].map((turns) => [recallLosses(past, turns), lossWithWorker(past, turns)]),
    overdue: overdueTurns(past),
    decisions: requestIds.map((id) => decisions.get(id)),
    queue: await queueOf(past, messageIds),
    unconfirmed,
    first: (['new', 'resumed', 'again'] as const).map((start) =>
      firstMessages({ prompt: 'p', instructions: 'i', hostProtocol: true }, start, past),
    ),
    choice: [choice.model, choice.next(), choice.controls()],
    changed: await doneAgain(past, 'control', changeIds),
    interrupted: await doneAgain(past, 'interrupt', interruptIds),
    cutTurns: turnIds.slice(-500).map((id) => cut.has({ id, messageIds: new Set() })),
    cutMessages: unconfirmed.map((id) => cut.has({ id: '-', messageIds: new Set([id]) })),
    permissions: [permissions.size, permissions.count, told, told.map(({ id }) => permissions.find(id))],
    tokens: tokensIn(past),
    takenOver: await takenOver(past, work, hookRequestIds),
  };
}

/** What waits, in which order it is given out, and which messages are taken a second time. */
async function queueOf(past: Past, messageIds: readonly string[]) {
  const open = () => new MessageQueue({ past, write: () => Promise.resolve() } as unknown as Ledger);
  const again = open();
  const first = again.ids;
  await again.again('newest', first.slice(0, 2));
  again.decide(() => false);
  const given = range(1, again.size).map(() => again.shift());
  const fresh = open();
  const taken: string[] = [];
  for (const messageId of messageIds)
    if (await fresh.take({ messageId, text: 'again' })) taken.push(messageId);
  return { first, undecided: fresh.undecidedIds, given, taken };
}

async function doneAgain(past: Past, t: 'control' | 'interrupt', ids: readonly string[]): Promise<string[]> {
  const before = past.flatMap((each) =>
    each.t === t ? ((each.t === 'control' ? each.changeId : each.id) ?? []) : [],
  );
  const once = openDoneOnce(before);
  const done: string[] = [];
  // The newest first: each one that is new takes the place of the oldest.
  for (const id of ids.toReversed()) await once(id, () => Promise.resolve(void done.push(id)));
  return done;
}

async function takenOver(past: Past, work: string, hookRequestIds: readonly string[]) {
  const written: LedgerRecord[] = [];
  const write = (record: LedgerRecord) => Promise.resolve(void written.push(record));
  const ledger = { past, write } as unknown as Ledger;
  const said = { open: hookRequestIds.slice(-3), settled: hookRequestIds.slice(-30, -3) };
  await takeOverHookRequests({ journal: { read: () => Promise.resolve(null) }, ledger }, work, said);
  return written.map((each) => (each.t === 'protocol' ? { ...each, token: '', position: null } : each));
}

/** Of older messages that codex has for good nobody has to know. */
function asked(grown: Grown, whole: Past): Grown {
  const ids = takenIn(whole).ids.slice(-1_000);
  return { ...grown, messageIds: [...new Set(['prompt', ...unconfirmedIn(whole), ...ids])] };
}

test.each<[seed: number, length: number]>([
  ...range(1, 30).map((n): [number, number] => [n, 20 + n * 10]),
  [100, 9_000],
  [101, 15_000],
])('a compacted ledger reads like the whole one, even with later records (%i)', async (seed, length) => {
  const grown = growLedger(seed);
  const work = await testFolder();
  await writeFile(join(work, PROTOCOL_LOG), 'x'.repeat(100));
  let whole: LedgerRecord[] = [];
  let short: LedgerRecord[] = [];
  for (let rounds = 0; rounds < 3; rounds++) {
    const added = grown.go(length);
    [whole, short] = [
      [...whole, ...added],
      [...short, ...added],
    ];
    const ask = asked(grown, whole);
    expect(await stateOf(short, work, ask)).toEqual(await stateOf(whole, work, ask));
    short = compactRecords(short, grown.needed());
    expect(await stateOf(short, work, ask)).toEqual(await stateOf(whole, work, ask));
    // What it has for sure goes to codex once more when its turn is lost.
    for (const record of grown.takeBack()) {
      whole.push(record);
      short.push(record);
    }
    expect(await stateOf(short, work, ask)).toEqual(await stateOf(whole, work, ask));
  }
});

test('an interrupt counts for a waiting message and a repeated turn, whatever follows', () => {
  const waits = { messageId: 'waits', text: 'a' };
  const others = range(1, 1_000).map(
    (n) => ({ t: 'interrupt', id: `i${n}`, turnId: 'other', messageId: null }) as const,
  );
  const past: LedgerRecord[] = [
    { t: 'message', message: waits },
    { t: 'interrupt', id: 'a', turnId: null, messageId: 'waits' },
    { t: 'message', message: { messageId: 'lost', text: 'b' } },
    { t: 'interrupt', id: 'b', turnId: 'u', messageId: null },
    { t: 'again', turnId: 'u', messageIds: ['lost'] },
    ...others,
  ];
  const cut = recallCutTurns(compactRecords(past, new Set()));
  for (const id of ['waits', 'lost']) expect(cut.has({ id: 'next', messageIds: new Set([id]) })).toBe(true);
});

test('a message recorded twice, by inbox and session, leaves one record', () => {
  const message = { t: 'message', message: { messageId: 'a', text: 'a' } } as const;
  const past: LedgerRecord[] = [message, message, { t: 'accepted', messageId: 'a' }];
  const known = { t: 'known', messageId: 'a' };
  expect(compactRecords(past, new Set()).filter(({ t }) => t === 'known')).toEqual([known]);
  expect(
    compactRecords([...past, known as LedgerRecord], new Set()).filter(({ t }) => t === 'known'),
  ).toEqual([known]);
});

test('a record of an unknown kind is kept', () => {
  const unknown = { t: 'unheard-of', a: 1 } as unknown as LedgerRecord;
  expect(compactRecords([unknown], new Set())).toContain(unknown);
});
