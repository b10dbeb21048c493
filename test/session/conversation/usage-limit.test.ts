import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { openLedger } from '../../../src/session/records/ledger.js';
import { recallEvents } from '../../../src/session/records/recall-events.js';
import { resetOf } from '../../../src/session/conversation/usage-limit.js';
import { openJournal } from '../../../src/session/records/journal.js';
import { scriptedCodex, type ScriptedCodex } from '../../fakes/codex-calls.js';
import { testFolder } from '../../support/folders.js';

const NOW = 1_800_000_000_000;
const inHours = (hours: number) => NOW / 1_000 + hours * 3_600;
const window = (usedPercent: unknown, resetsAt: unknown) => ({ usedPercent, resetsAt }) as never;

describe('the reset of an exhausted account', () => {
  it('is that of its full windows, the last of them', () => {
    const limits = { primary: window(100, inHours(1)), secondary: window(100, inHours(50)) };
    expect(resetOf([limits], NOW)).toBe(NOW + 50 * 3_600_000);
    expect(resetOf([{ ...limits, secondary: window(99, inHours(50)) }], NOW)).toBe(NOW + 3_600_000);
  });

  it('is unknown where no window is full or none says when', () => {
    for (const primary of [
      null,
      window(99, inHours(1)),
      window(100, null),
      window('100', inHours(1)),
      window(100, 1e300),
    ])
      expect(resetOf([{ primary }], NOW)).toBeNull();
  });

  it('is what the newest word on a limit says', () => {
    const full = { limitId: 'codex', primary: window(100, inHours(1)) };
    expect(resetOf([full, { limitId: 'codex', primary: window(3, inHours(6)) }], NOW)).toBeNull();
    expect(resetOf([full, { limitId: 'other', primary: window(3, inHours(6)) }], NOW)).toBe(NOW + 3_600_000);
  });

  it('is not in the past: a limit that still holds is tried again a minute later', () => {
    expect(resetOf([{ primary: window(100, inHours(-1)) }], NOW)).toBe(NOW + 60_000);
  });
});

const inAnHour = () => Math.ceil(Date.now() / 1_000) + 3_600;
const failing = (codex: ScriptedCodex, turnId: string, codexErrorInfo: unknown) =>
  codex.notify('turn/completed', {
    turn: { id: turnId, items: [], status: 'failed', error: { message: 'no more', codexErrorInfo } },
  });

async function running(mode: 'task' | 'conversation' = 'conversation') {
  const codex = await scriptedCodex({ mode });
  codex.conversation.begin();
  await codex.conversation.accept({ messageId: 'a', text: 'first' });
  await codex.begin('t1');
  return codex;
}

test.each(['task', 'conversation'] as const)(
  'a turn that a usage limit ends ends the session in mode %s, until the reset that codex told in that turn',
  async (mode) => {
    const codex = await running(mode);
    const resetsAt = inAnHour();
    codex.notify('account/rateLimits/updated', { rateLimits: { primary: window(100, resetsAt) } });
    failing(codex, 't1', 'usageLimitExceeded');
    expect(await codex.conversation.whenEnded()).toEqual({
      kind: 'limited',
      turnId: 't1',
      resetsAt: new Date(resetsAt * 1_000).toISOString(),
    });
    expect(codex.calls.map(({ method }) => method)).not.toContain('account/rateLimits/read');
    // Messages are taken all the same, and wait.
    expect(await codex.conversation.accept({ messageId: 'b', text: 'second' })).toBe(true);
    expect(codex.conversation.dropped).toEqual(['b']);
  },
);

test('a reset that the turn did not tell is asked for; queued messages wait for it', async () => {
  const codex = await running();
  await codex.conversation.accept({ messageId: 'b', text: 'second' });
  failing(codex, 't1', 'usageLimitExceeded');
  const resetsAt = inAnHour();
  (await codex.called('account/rateLimits/read')).resolve({ rateLimits: { primary: window(100, resetsAt) } });
  expect(await codex.conversation.whenEnded()).toMatchObject({ kind: 'limited', turnId: 't1' });
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
});

test('without a known reset the turn has failed as any other, and the next message goes on', async () => {
  const codex = await running();
  failing(codex, 't1', 'usageLimitExceeded');
  (await codex.called('account/rateLimits/read')).reject(new Error('needs ChatGPT auth'));
  await codex.conversation.accept({ messageId: 'b', text: 'second' });
  expect((await codex.called('turn/start', 2)).params).toMatchObject({ clientUserMessageId: 'b' });
});

test('too many requests are a usage limit only where a window is full', async () => {
  const codex = await running('task');
  failing(codex, 't1', { responseTooManyFailedAttempts: { httpStatusCode: 429 } });
  expect(await codex.conversation.whenEnded()).toMatchObject({ kind: 'failed' });
  const full = await running('task');
  full.notify('account/rateLimits/updated', { rateLimits: { primary: window(100, inAnHour()) } });
  failing(full, 't1', { responseTooManyFailedAttempts: { httpStatusCode: 429 } });
  expect(await full.conversation.whenEnded()).toMatchObject({ kind: 'limited' });
});

test('a close while the reset is asked for ends the session', async () => {
  const codex = await running();
  failing(codex, 't1', 'usageLimitExceeded');
  const asked = await codex.called('account/rateLimits/read');
  await codex.conversation.close();
  asked.resolve({ rateLimits: { primary: window(100, inAnHour()) } });
  expect(await codex.conversation.whenEnded()).toEqual({ kind: 'closed' });
});

describe('a worker that takes the task up again', () => {
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

  it('knows from the journal that a limit ended the newest turn, and until when', async () => {
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
    codex.conversation.begin();
    expect(await codex.conversation.whenEnded()).toMatchObject({
      kind: 'limited',
      turnId: 't1',
      resetsAt: new Date(resetsAt * 1_000).toISOString(),
    });
  });

  it('does that turn again once the task was parked', async () => {
    const folder = await testFolder();
    const journal = await openJournal(join(folder, 'journal'));
    for (const event of events(inAnHour())) journal.append(event);
    await journal.sync();
    const ledger = await openLedger(join(folder, 'ledger'));
    await ledger.write({ t: 'process', incarnation: 1 });
    await ledger.write({ t: 'suspended', turnId: 't1' });
    await ledger.close();
    const { past } = await openLedger(join(folder, 'ledger'));
    const recalled = await recallEvents(journal, { past }, 'thread', {
      checkpoint: join(folder, 'recall.json'),
    });
    await journal.close();
    expect(recalled).toMatchObject({ suspended: 't1', lastTurn: null });
    expect(recalled.endedTurns.has('t1')).toBe(false);
  });
});
