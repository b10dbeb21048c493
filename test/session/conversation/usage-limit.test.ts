import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { openLedger, readLedger } from '../../../src/task-folder/ledger.js';
import { recallEvents } from '../../../src/session/recall/recall-events.js';
import { RpcError, RpcTimeout } from '../../../src/codex/rpc-errors.js';
import { heldOutUntil } from '../../../src/codex/usage-limit.js';
import type { HoldOutRule } from '../../../src/session/conversation/usage-limit.js';
import { scriptedCodex, type ScriptedCodex } from '../../fakes/codex-calls.js';
import { testFolder } from '../../support/folders.js';
import { openJournal } from '../../../src/journal/open-journal.js';

const window = (usedPercent: unknown, resetsAt: unknown) => ({ usedPercent, resetsAt }) as never;

const inAnHour = () => Math.ceil(Date.now() / 1_000) + 3_600;
const failing = (codex: ScriptedCodex, turnId: string, codexErrorInfo: unknown) =>
  codex.notify('turn/completed', {
    turn: { id: turnId, items: [], status: 'failed', error: { message: 'no more', codexErrorInfo } },
  });

const notChatGpt = new RpcError('account/rateLimits/read', -32600, 'chatgpt authentication required');

async function running(mode: 'task' | 'conversation' = 'conversation', holdOut?: HoldOutRule) {
  const codex = await scriptedCodex({ mode, ...(holdOut && { holdOut }) });
  codex.thread.turns.begin();
  await codex.thread.accept({ messageId: 'a', text: 'first' });
  await codex.begin('t1');
  return codex;
}

test.each(['task', 'conversation'] as const)(
  'a usage limit in a turn ends the session in mode %s until the reported reset',
  async (mode) => {
    const codex = await running(mode);
    const resetsAt = inAnHour();
    codex.notify('account/rateLimits/updated', { rateLimits: { primary: window(100, resetsAt) } });
    failing(codex, 't1', 'usageLimitExceeded');
    expect(await codex.thread.turns.whenEnded()).toEqual({
      kind: 'limited',
      turnId: 't1',
      resetsAt: new Date(resetsAt * 1_000).toISOString(),
      limit: { kind: 'reset', limitId: null, times: 1 },
    });
    expect(codex.calls.map(({ method }) => method)).not.toContain('account/rateLimits/read');
    // Messages are taken all the same, and wait.
    expect(await codex.thread.accept({ messageId: 'b', text: 'second' })).toBe(true);
    expect(codex.thread.queue.ids).toEqual(['b']);
  },
);

test('an unknown reset is looked up while queued messages wait', async () => {
  const codex = await running();
  await codex.thread.accept({ messageId: 'b', text: 'second' });
  failing(codex, 't1', 'usageLimitExceeded');
  const resetsAt = inAnHour();
  (await codex.called('account/rateLimits/read')).resolve({ rateLimits: { primary: window(100, resetsAt) } });
  expect(await codex.thread.turns.whenEnded()).toMatchObject({ kind: 'limited', turnId: 't1' });
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
});

test('a limit without reset and seed fails the turn, and the next message continues', async () => {
  const codex = await running();
  failing(codex, 't1', 'usageLimitExceeded');
  (await codex.called('account/rateLimits/read')).reject(notChatGpt);
  await codex.thread.accept({ messageId: 'b', text: 'second' });
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'b' });
});

test('a limit with an unreachable account is looked up again soon', async () => {
  const codex = await running();
  failing(codex, 't1', 'usageLimitExceeded');
  (await codex.called('account/rateLimits/read')).reject(new RpcTimeout('account/rateLimits/read', 10_000));
  const end = await codex.thread.turns.whenEnded();
  expect(end).toMatchObject({ kind: 'limited', limit: { kind: 'overdue' } });
  const heldMs = Date.parse((end as { resetsAt: string }).resetsAt) - Date.now();
  expect(Math.abs(heldMs - 60_000)).toBeLessThan(10_000);
});

/** Of a task with a seed: it is put aside whatever the limit is. */
const withSeed: HoldOutRule = (limit) =>
  Promise.resolve({ limit, times: 1, until: heldOutUntil(limit, 1, Date.now()) });

/** The limit by which a turn ends that was refused after codex told these snapshots, and what it answers when asked. */
async function refused(told: object[], answer?: object) {
  const codex = await running('task', withSeed);
  for (const rateLimits of told) codex.notify('account/rateLimits/updated', { rateLimits });
  failing(codex, 't1', 'usageLimitExceeded');
  if (answer) (await codex.called('account/rateLimits/read')).resolve(answer);
  return codex.thread.turns.whenEnded();
}

test('a limit without a full window holds the seed’s account out for an hour', async () => {
  const rateLimits = { limitId: 'codex', primary: window(25, inAnHour()) };
  const end = await refused([rateLimits], { rateLimits });
  expect(end).toMatchObject({ kind: 'limited', limit: { kind: 'unknown', limitId: 'codex' } });
  const heldMs = Date.parse((end as { resetsAt: string }).resetsAt) - Date.now();
  expect(Math.abs(heldMs - 3_600_000)).toBeLessThan(60_000);
});

test('a workspace without credits is reported as that without a look-up', async () => {
  const rateLimitReachedType = 'workspace_owner_credits_depleted';
  expect(await refused([{ limitId: 'codex', primary: null, rateLimitReachedType }])).toMatchObject({
    limit: { kind: 'credits' },
  });
});

test('the limit that refused counts, however full another model’s window is', async () => {
  const soon = inAnHour();
  const other = { limitId: 'codex_other', primary: window(100, soon + 500_000) };
  const mine = { limitId: 'codex', primary: window(100, soon) };
  const resetsAt = new Date(soon * 1_000).toISOString();
  expect(await refused([other, mine])).toMatchObject({ resetsAt, limit: { limitId: 'codex' } });
  // Told without a window, it is asked for by its name.
  const answer = { rateLimits: other, rateLimitsByLimitId: { codex_other: other, codex: mine } };
  expect(await refused([{ limitId: 'codex', primary: null }], answer)).toMatchObject({ resetsAt });
});

test('too many requests count as a usage limit only when a window is full', async () => {
  const codex = await running('task');
  failing(codex, 't1', { responseTooManyFailedAttempts: { httpStatusCode: 429 } });
  expect(await codex.thread.turns.whenEnded()).toMatchObject({ kind: 'failed' });
  const full = await running('task');
  full.notify('account/rateLimits/updated', { rateLimits: { primary: window(100, inAnHour()) } });
  failing(full, 't1', { responseTooManyFailedAttempts: { httpStatusCode: 429 } });
  expect(await full.thread.turns.whenEnded()).toMatchObject({ kind: 'limited' });
});

test('a close during the look-up of the reset ends the session', async () => {
  const codex = await running();
  failing(codex, 't1', 'usageLimitExceeded');
  const asked = await codex.called('account/rateLimits/read');
  codex.thread.turns.close();
  asked.resolve({ rateLimits: { primary: window(100, inAnHour()) } });
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
});

describe('a worker that adopts the task', () => {
  const events = (resetsAt: number) =>
    [
      { method: 'turn/started', params: { threadId: 'thread', turn: { id: 't1', status: 'inProgress' } } },
      { method: 'account/rateLimits/updated', params: { rateLimits: { primary: window(100, resetsAt) } } },
      {
        method: 'turn/completed',
        params: {
          threadId: 'thread',
          turn: {
            id: 't1',
            status: 'failed',
            error: { message: 'no more', codexErrorInfo: 'usageLimitExceeded' },
          },
        },
      },
    ].map((event) => JSON.stringify(event));

  it('reads from the journal that a limit ended the newest turn, and until when', async () => {
    const folder = await testFolder();
    const journal = await openJournal(join(folder, 'journal'));
    const resetsAt = inAnHour();
    for (const event of events(resetsAt)) journal.append(event);
    await journal.sync();
    const recalled = await recallEvents(journal, { past: [] }, 'thread', {
      checkpoint: join(folder, 'recall.json'),
    });
    await journal.close();
    const codex = await scriptedCodex({ recalled });
    codex.thread.turns.begin();
    expect(await codex.thread.turns.whenEnded()).toMatchObject({
      kind: 'limited',
      turnId: 't1',
      resetsAt: new Date(resetsAt * 1_000).toISOString(),
    });
  });

  it('repeats that turn once the task was parked', async () => {
    const folder = await testFolder();
    const journal = await openJournal(join(folder, 'journal'));
    for (const event of events(inAnHour())) journal.append(event);
    await journal.sync();
    const ledger = await openLedger(join(folder, 'ledger'));
    await ledger.write({ t: 'process', incarnation: 1 });
    await ledger.write({ t: 'suspended', turnId: 't1' });
    await ledger.close();
    const past = await readLedger(join(folder, 'ledger'));
    const recalled = await recallEvents(journal, { past }, 'thread', {
      checkpoint: join(folder, 'recall.json'),
    });
    await journal.close();
    expect(recalled).toMatchObject({ suspended: 't1', lastTurn: null });
    expect(recalled.endedTurns.has('t1')).toBe(false);
  });
});
