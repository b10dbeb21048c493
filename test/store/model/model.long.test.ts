import { test, vi } from 'vitest';
import type * as BlobsModule from '../../../src/store/blobs.js';
import { useStore } from '../support.js';
import { runInMemory, runOnDatabase } from './runs.js';

vi.mock('../../../src/store/blobs.js', async (importActual) => {
  const { withModelBlobs } = await import('./blob-steps.js');
  return withModelBlobs(await importActual<typeof BlobsModule>());
});

const use = useStore();
const MEMORY_RUNS = 300;
const DATABASE_RUNS = 3;

test(
  `${MEMORY_RUNS} random interleavings with crashes lose no token to two writers`,
  { timeout: 600_000 },
  () => runInMemory(MEMORY_RUNS),
);

test(`${DATABASE_RUNS} random interleavings on a real database lose no token`, { timeout: 300_000 }, () =>
  runOnDatabase(DATABASE_RUNS, use.store),
);
