import { expect, test, vi } from 'vitest';
import type * as BlobsModule from '../../../src/store/blobs.js';
import { useStore } from '../support.js';
import { memoryBackend, realBackend, type Blobs, type ModelStore } from './backends.js';
import { runModel, type ModelClock } from './model.js';

// Blobs are steps of the model too: a crash may come between one and the document that names it.
vi.mock('../../../src/store/blobs.js', async (importActual) => {
  const actual = await importActual<typeof BlobsModule>();
  const modelled = (store: object): store is ModelStore => 'blobs' in store;
  return {
    ...actual,
    putBlob: (store: ModelStore, content: Uint8Array, options: { filename: string }) =>
      modelled(store) ? store.pass(() => store.blobs.put(content)) : actual.putBlob(store, content, options),
    readBlob: (store: ModelStore, id: string) =>
      modelled(store) ? store.pass(() => store.blobs.read(id)) : actual.readBlob(store, id),
    findBlob: (store: ModelStore, id: string) =>
      modelled(store)
        ? store.pass(async () => ((await store.blobs.has(id)) ? { id } : null))
        : actual.findBlob(store, id),
    deleteBlob: (store: ModelStore, id: string) =>
      modelled(store) ? store.pass(() => store.blobs.delete(id)) : actual.deleteBlob(store, id),
  };
});

const use = useStore();
const START = Date.UTC(2026, 0, 1);

/** One failing run is repeated with its seed: `MODEL_SEED=17 npx vitest run test/store/model`. */
const given = process.env['MODEL_SEED'];
const FIRST = given === undefined ? Math.floor(Math.random() * 1e9) : Number(given);
const MEMORY_RUNS = given === undefined ? 500 : 1;
const REAL_RUNS = given === undefined ? 4 : 1;
const ACTS = 25;

async function runAll(runs: number, run: (seed: number) => Promise<void>): Promise<void> {
  for (let seed = FIRST; seed < FIRST + runs; seed++)
    await run(seed).catch((error: unknown) => {
      throw new Error(`MODEL_SEED=${seed}: ${String(error)}`, { cause: error });
    });
  expect(runs).toBeGreaterThan(0);
}

test(
  `${MEMORY_RUNS} random interleavings with crashes: one writer, no token lost`,
  { timeout: 300_000 },
  () =>
    runAll(MEMORY_RUNS, async (seed) => {
      const clock: ModelClock = { now: START };
      await runModel(
        seed,
        ACTS,
        memoryBackend(() => clock.now),
        clock,
      );
    }),
);

test(`${REAL_RUNS} of them on a real database`, { timeout: 300_000 }, () =>
  runAll(REAL_RUNS, async (seed) => {
    const clock: ModelClock = { now: START };
    const actual = await vi.importActual<typeof BlobsModule>('../../../src/store/blobs.js');
    const real = { ...use.store, prefix: `${use.store.prefix}_${seed}` };
    const blobs: Blobs = {
      put: (content) => actual.putBlob(real, content, { filename: 'model' }),
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
  }),
);
