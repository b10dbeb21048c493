import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { until } from '../support/until.js';
import { startRealHost, type RealHost } from './real-host.js';
import { useRealStack } from './real-stack.js';

let oauth: OAuthServer;
beforeAll(async () => {
  oauth = await startOAuthServer({ endsWithTest: false });
});
afterAll(() => oauth.close());

const stack = useRealStack(undefined, ['--no-worker']);

interface Way {
  readonly mode: string;
  /** Comes over the host right before the signal. */
  readonly before?: (host: RealHost) => void;
  /** What else happens while it stops. */
  readonly meanwhile?: (host: RealHost) => Promise<void>;
  readonly code: number | null;
  readonly withinMs: number;
}

const drains = (host: RealHost) =>
  until('the drain', () => Promise.resolve(host.worker.said('worker.drains')), 60_000);
const nothingAnswers = ({ mongo, temporal }: RealHost) => {
  mongo.freeze();
  temporal.cut();
};
const again = (signal: NodeJS.Signals) => async (host: RealHost) => {
  await drains(host);
  host.worker.signal(signal);
};

const WAYS: Record<string, Way> = {
  'detach, where neither database nor Temporal answer': {
    mode: 'detach',
    before: nothingAnswers,
    code: 0,
    withinMs: 15_000,
  },
  'stop, where neither database nor Temporal answer': {
    mode: 'stop',
    before: nothingAnswers,
    code: 0,
    withinMs: 100_000,
  },
  'move, where Temporal does not answer': {
    mode: 'move',
    before: ({ temporal }) => temporal.cut(),
    meanwhile: again('SIGTERM'),
    code: 0,
    withinMs: 60_000,
  },
  'wait, and told so twice': { mode: 'wait', meanwhile: again('SIGINT'), code: 0, withinMs: 60_000 },
  'stop, and told so twice': { mode: 'stop', meanwhile: again('SIGTERM'), code: 130, withinMs: 10_000 },
  'detach, and killed at once': { mode: 'detach', meanwhile: again('SIGKILL'), code: null, withinMs: 10_000 },
};

const AT_ONCE = 3;

async function stop({ mode, before, meanwhile, code, withinMs }: Way): Promise<string> {
  const host = await startRealHost(stack, oauth, { CODEX_TASK_DRAIN: mode });
  before?.(host);
  await host.rotate();
  const asked = performance.now();
  host.worker.signal('SIGTERM');
  await meanwhile?.(host);
  const exit = await host.worker.exited;
  const tookMs = performance.now() - asked;
  const { alive, isWatched } = await host.codexes();
  const places = await host.places();
  if (process.env['SHOW_CELLS'])
    console.log(
      `CELL | ${mode} | ${exit} | ${(tookMs / 1000).toFixed(1)} s | codex ${alive} | ${places.join('+')}`,
    );
  host.mongo.mend();
  host.temporal.heal();
  const isSaved = async () => (await host.places()).some((place) => place !== 'disk');
  if (!(await isSaved())) await host.start();
  const wrong = [
    exit !== code && `exit code ${exit}`,
    tookMs > withinMs && `${Math.round(tookMs)} ms`,
    !isWatched && 'a codex without a guard',
    places.length === 0 && 'a token that is nowhere',
    !(await until('a saved token', isSaved, 60_000).catch(() => false)) && 'a token that is not saved',
  ];
  return wrong.filter((word) => word !== false).join(', ') || 'fine';
}

test('a worker exits with the code of each way to stop, and leaves no Codex unguarded', async () => {
  const names = Object.keys(WAYS);
  const ends: string[] = [];
  for (let n = 0; n < names.length; n += AT_ONCE) {
    const some = names.slice(n, n + AT_ONCE);
    ends.push(...(await Promise.all(some.map(async (name) => `${name}: ${await stop(WAYS[name]!)}`))));
  }
  expect(ends).toEqual(names.map((name) => `${name}: fine`));
}, 400_000);
