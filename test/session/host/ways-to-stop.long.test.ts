import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DrainMode } from '../../../src/config.js';
import { drainSessions } from '../../../src/session/host/drain-sessions.js';
import { buildPackage } from '../../support/built-package.js';
import { makeFolder } from '../../support/folders.js';
import { openTestDatabase } from '../../support/mongo.js';
import { startOAuthServer } from '../../support/oauth-server.js';
import { until } from '../../support/until.js';
import { mortal, type Life } from '../mortal-worker.js';
import { startStoppedHost, type StoppedHost, type Trouble, type World } from '../stopped-host.js';
import { STATES, type State } from '../task-states.js';
import { openStore } from '../../../src/store/open-store.js';

const MODES: readonly DrainMode[] = ['detach', 'wait', 'move', 'stop'];
/** All states without trouble; with one, those in which it is in the way of something, unless all are asked for. */
const IN_THE_WAY: Record<Trouble, readonly State[]> = {
  nothing: STATES,
  'full disk': ['turn'],
  'dead database': ['ending'],
  'dead Temporal': ['approval'],
  'database and Temporal dead': ['recovering', 'parking'],
};
const cellsOf = (trouble: Trouble): readonly State[] =>
  process.env['ALL_CELLS'] ? STATES : IN_THE_WAY[trouble];
const never = new AbortController().signal;
const BOUND_MS = 60_000;

let world: World;
let close: () => Promise<void>;
beforeAll(async () => {
  const [database, oauth, folder] = await Promise.all([
    openTestDatabase(),
    startOAuthServer({ endsWithTest: false }),
    makeFolder(),
  ]);
  await buildPackage(folder.path);
  const store = await openStore({ uri: database.uri, prefix: 'optio' });
  world = { uri: database.uri, store, oauth, folder: folder.path };
  close = async () => {
    await store.close();
    await database.close();
    await oauth.close();
    await folder.remove();
  };
}, 120_000);
afterAll(() => close());

const isSaved = async (each: StoppedHost) => (await each.places()).some((place) => place !== 'disk');

/** What is wrong once the worker is gone, and after the next one came; `fine`: nothing. */
async function whatIsWrong(each: StoppedHost, { couldSay }: { couldSay: boolean }): Promise<string> {
  each.workerEnds();
  const { codexes, guards } = await each.alive();
  const isWatched = codexes === 0 || (guards > 0 && (await each.hasDeadline()));
  const places = await each.places();
  const isSaid = !couldSay || places.some((place) => place !== 'disk') || each.said('credential.unsaved');
  await each.nextWorker();
  const saved = until('a saved token', () => isSaved(each), 20_000).catch(() => false);
  const wrong = [
    !isWatched && 'a codex without a guard',
    places.length === 0 && `a token that is nowhere, as the host logged: ${each.log()}`,
    !isSaid && 'a token on the disk alone, and nobody says so',
    (await saved) === false && 'the next worker does not save the token',
  ];
  return wrong.filter((word) => word !== false).join(', ') || 'fine';
}

describe('a stop', () => {
  async function stop(mode: DrainMode, trouble: Trouble, state: State): Promise<string> {
    const each = await startStoppedHost(world, state, trouble);
    const began = performance.now();
    await drainSessions(each.host, mode, never);
    expect(performance.now() - began).toBeLessThan(BOUND_MS);
    await each.heals();
    return `${state}: ${await whatIsWrong(each, { couldSay: true })}`;
  }
  const cells = MODES.flatMap((mode) =>
    Object.keys(IN_THE_WAY).map((trouble) => [mode, trouble as Trouble] as const),
  );
  test.each(cells)(
    'by %s with %s leaves no Codex without a guard and loses no token',
    async (mode, trouble) => {
      const states = cellsOf(trouble);
      const all = await Promise.all(states.map((state) => stop(mode, trouble, state)));
      expect(all).toEqual(states.map((state) => `${state}: fine`));
    },
    180_000,
  );
});

describe('a worker that is killed', () => {
  const POINTS = Number(process.env['KILL_POINTS'] ?? 3);
  const AT_ONCE = 3;

  async function kill(mode: DrainMode, diesAt: number): Promise<{ life: Life; wrong: string }> {
    const life = mortal(diesAt);
    const each = await startStoppedHost(world, 'turn', 'nothing', life);
    life.begin();
    const drained = life.live(() => drainSessions(each.host, mode, never));
    await Promise.race([drained, life.died]);
    const at = life.steps.length;
    const wrong = await whatIsWrong(each, { couldSay: false });
    if (process.env['SHOW_CELLS'])
      console.log(`KILL | ${mode} | ${diesAt} | ${at} | ${wrong} | ${life.steps.slice(-3).join(' ')}`);
    return { life, wrong };
  }

  test.each(MODES)(
    'in any stage of a stop by %s leaves no Codex without a guard and loses no token',
    async (mode) => {
      const { life, wrong } = await kill(mode, Infinity);
      expect(wrong).toBe('fine');
      const { length } = life.steps;
      const count = Math.min(POINTS, length);
      expect(count).toBeGreaterThanOrEqual(3);
      const points = Array.from({ length: count }, (_, n) => Math.floor((n * length) / count));
      const killed: (readonly [number, string])[] = [];
      for (let n = 0; n < count; n += AT_ONCE) {
        const some = points.slice(n, n + AT_ONCE);
        killed.push(
          ...(await Promise.all(
            some.map(async (point) => [point, (await kill(mode, point)).wrong] as const),
          )),
        );
      }
      expect(killed.filter(([, each]) => each !== 'fine')).toEqual([]);
    },
    180_000 + POINTS * 10_000,
  );
});
