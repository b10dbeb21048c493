import { test, vi } from 'vitest';
import type * as BlobsModule from '../../../src/store/blobs.js';
import { useStore } from '../support.js';
import { runInMemory, runOnDatabase } from './runs.js';

vi.mock('../../../src/store/blobs.js', async (importActual) => {
  const { withModelBlobs } = await import('./blob-steps.js');
  return withModelBlobs(await importActual<typeof BlobsModule>());
});

const use = useStore();
const MEMORY_RUNS = 20;

test(`${MEMORY_RUNS} random interleavings with crashes lose no token to two writers`, () =>
  runInMemory(MEMORY_RUNS));

test('a random interleaving on a real database loses no token to two writers', () =>
  runOnDatabase(1, use.store));
