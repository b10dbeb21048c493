import { afterAll, beforeAll, expect, test } from 'vitest';
import { drainSessions } from '../../../src/session/host/drain-sessions.js';
import { openTestDatabase } from '../../support/mongo.js';
import { startOAuthServer } from '../../support/oauth-server.js';
import { until } from '../../support/until.js';
import { startStoppedHost, type World } from '../stopped-host.js';
import { openStore } from '../../../src/store/open-store.js';

const never = new AbortController().signal;
const TEN_MINUTES_MS = 540_000;

let world: World;
let close: () => Promise<void>;
beforeAll(async () => {
  const [database, oauth] = await Promise.all([
    openTestDatabase(),
    startOAuthServer({ endsWithTest: false }),
  ]);
  const store = await openStore({ uri: database.uri, prefix: 'optio' });
  world = { uri: database.uri, store, oauth, folder: null };
  close = async () => {
    await store.close();
    await database.close();
    await oauth.close();
  };
});
afterAll(() => close());

const inDatabase = async ({ places }: { places: () => Promise<string[]> }) =>
  (await places()).some((place) => place !== 'disk');

test.each(['ending', 'parking'] as const)(
  'a task that was %s when its worker stopped keeps its account meanwhile',
  async (state) => {
    const each = await startStoppedHost(world, state, 'dead database');
    await drainSessions(each.host, 'stop', never);
    expect(await each.places()).toEqual(['disk']);
    expect(each.said('credential.unsaved')).toBe(true);
    await each.heals();
    const next = await each.nextWorker();
    await until('a saved token', () => inDatabase(each));
    const task = next.tasks.find(each.ref.taskId);
    if (task?.kind !== 'ending' && task?.kind !== 'prepared') throw new Error(`task is ${task?.kind}`);
    expect(next.tasks.isWatched(each.ref.taskId, task.prepared.lease!)).toBe(true);
  },
);

test('a stopping worker waits briefly for the database and saves a refreshed token', async () => {
  const each = await startStoppedHost(world, 'turn', 'dead database');
  Object.assign(each.host.config, { drainWaitMs: 600_000 });
  const drained = drainSessions(each.host, 'stop', never);
  await until('a save that failed', () => each.said('credential.save.retry'));
  await each.heals();
  await drained;
  expect(await each.places()).toContain('seed');
  expect(await each.leftMs()).toBeGreaterThan(TEN_MINUTES_MS);
  expect(each.said('credential.unsaved')).toBe(false);
});
