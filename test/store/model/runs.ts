import { expect, vi } from 'vitest';
import type * as BlobsModule from '../../../src/store/blobs.js';
import { ensureLoginIndex } from '../../../src/store/logins.js';
import type { Store } from '../../../src/store/mongo.js';
import { memoryBackend, realBackend, type Blobs } from './backends.js';
import { runModel, type ModelClock } from './model.js';

const START = Date.UTC(2026, 0, 1);
const ACTS = 40;

/** One failing run is repeated with its seed: `MODEL_SEED=17 npx vitest run test/store/model/model.test.ts`. */
const given = process.env['MODEL_SEED'];
const FIRST = given === undefined ? Math.floor(Math.random() * 1e9) : Number(given);

async function runAll(runs: number, run: (seed: number) => Promise<void>): Promise<void> {
  const count = given === undefined ? runs : Number(process.env['MODEL_RUNS'] ?? 1);
  for (let seed = FIRST; seed < FIRST + count; seed++)
    await run(seed).catch((error: unknown) => {
      throw new Error(`MODEL_SEED=${seed}, run ${seed - FIRST + 1}: ${String(error)}`, { cause: error });
    });
  expect(count).toBeGreaterThan(0);
}

/** So many runs in memory. */
export const runInMemory = (runs: number): Promise<void> =>
  runAll(runs, async (seed) => {
    const clock: ModelClock = { now: START };
    const backend = memoryBackend(() => clock.now);
    await runModel(seed, ACTS, backend, clock);
  });

/** The same on a database. */
export const runOnDatabase = (runs: number, store: Store): Promise<void> =>
  runAll(runs, async (seed) => {
    const clock: ModelClock = { now: START };
    const actual = await vi.importActual<typeof BlobsModule>('../../../src/store/blobs.js');
    await store.db.dropDatabase();
    const real = { ...store, prefix: `${store.prefix}_${seed}` };
    await ensureLoginIndex(real);
    const blobs: Blobs = {
      put: (content, options) => actual.putBlob(real, content, options),
      read: (id) => actual.readBlob(real, id),
      has: async (id) => (await actual.findBlob(real, id)) !== null,
      delete: (id) => actual.deleteBlob(real, id),
    };
    await runModel(
      seed,
      ACTS,
      realBackend(() => clock.now, real, blobs),
      clock,
    );
  });
