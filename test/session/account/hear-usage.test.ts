import { writeFile } from 'node:fs/promises';
import { pino } from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import { assistantMessage } from '../../../src/dev/model-server.js';
import { withHeaders } from '../../../src/dev/model-items.js';
import { hearUsage } from '../../../src/session/account/hear-usage.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { releaseLease } from '../../../src/store/leases.js';
import { findSeedInfo } from '../../../src/store/seed-info.js';
import { until } from '../../support/until.js';
import { auth, lease, seedOf, useStore } from '../../store/support.js';
import { insertSeed } from '../../../src/store/seeds.js';
import { testFolder } from '../../support/folders.js';
import { startAccountSession } from './account-session.js';

const MINUTE = 60_000;
const use = useStore();
afterEach(() => vi.useRealTimers());

const inAnHour = () => Math.ceil(Date.now() / 1_000) + 3_600;
const headers = (usedPercent: number) =>
  withHeaders({
    'x-codex-primary-used-percent': String(usedPercent),
    'x-codex-primary-window-minutes': '300',
    'x-codex-primary-reset-at': String(inAnHour()),
  });

test('a seed shows the usage of its account and is not leased while a window is full', async () => {
  let used = 40;
  const each = await startAccountSession({ script: () => () => [headers(used), assistantMessage('done')] });
  const { store, lease: mine } = each;
  const summary = async () => (await findSeedInfo(store, mine.seedId))?.usage?.summary;
  await each.send('one');
  await until('the window', async () => (await summary())?.endsWith(': 5h 40%'), 20_000);
  used = 100;
  await each.send('two');
  await until('the full window', async () => (await summary())?.endsWith(': 5h 100%'), 20_000);
  await releaseLease(store, mine);
  expect(await findSeedInfo(store, mine.seedId)).toMatchObject({ state: 'limited', limit: { times: 0 } });
  const next = await acquireSeed(store, { seedId: mine.seedId }, 'next/r', MINUTE);
  expect(next).toEqual({ kind: 'busy' });
});

/** An ear on a seed, and how often it has written. */
async function startEar() {
  const seedId = await insertSeed(use.store, { authJson: auth('mine'), pool: 'p' });
  const mine = await lease(use.store, { seedId }, 't/r');
  const authJson = `${await testFolder()}/auth.json`;
  await writeFile(authJson, auth('mine'));
  const host = { store: use.store, log: pino({ enabled: false }) } as unknown as HostContext;
  const ref = { taskId: 't', runId: 'r', assignmentId: 's' };
  const ear = hearUsage(host, { ref, folder: { authJson } as never }, mine);
  const windows = async () => {
    const [account] = ((await seedOf(use.store, seedId)).metadata?.['accounts'] ?? []) as {
      windows: { pct: number }[];
    }[];
    return account?.windows.map(({ pct }) => pct);
  };
  return {
    ear,
    limitedUntil: async () => (await findSeedInfo(use.store, seedId))?.limitedUntil,
    hear: (usedPercent: number, more: object = {}) =>
      ear.seen('account/rateLimits/updated', {
        rateLimits: {
          limitId: 'codex',
          primary: { usedPercent, windowDurationMins: 300, resetsAt: inAnHour() },
          ...more,
        },
      }),
    has: (percents: number[]) =>
      until(`windows ${percents.join()}`, async () => String(await windows()) === String(percents)),
  };
}

test('windows are written once a minute, at once when one gets full, and at the end', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const { hear, has, limitedUntil, ear } = await startEar();
  let writes = 0;
  const count = ({ commandName }: { commandName: string }) => void (commandName === 'update' && writes++);
  use.store.client.on('commandStarted', count);
  hear(10);
  await has([10]);
  for (const percent of [11, 12, 13]) hear(percent);
  hear(100);
  await has([100]);
  expect(await limitedUntil()).toBeInstanceOf(Date);
  hear(5);
  await has([5]);
  expect(await limitedUntil()).toBeNull();
  hear(6);
  vi.advanceTimersByTime(MINUTE);
  hear(7);
  await has([7]);
  hear(8);
  ear.end();
  await has([8]);
  use.store.client.off('commandStarted', count);
  expect(writes).toBe(5);
});

test('values that Codex leaves out stay, and limits of one model hold no account out', async () => {
  const { hear, has, limitedUntil } = await startEar();
  hear(100, { secondary: { usedPercent: 20, windowDurationMins: 10_080, resetsAt: inAnHour() } });
  await has([100, 20]);
  hear(30);
  await has([30, 20]);
  hear(100, { limitId: 'codex_other' });
  hear(100, { credits: { hasCredits: true, unlimited: false, balance: '5' } });
  await until('one that has credits', async () => (await limitedUntil()) === null);
});
