import { expect, test } from 'vitest';
import { findBlob } from '../../src/store/blobs.js';
import {
  deleteQuarantined,
  listQuarantine,
  quarantineAuth,
  readQuarantined,
} from '../../src/store/quarantine.js';
import { auth, useStore } from './support.js';

const use = useStore();
const LEASE = { seedId: 'a'.repeat(24), holder: 'task-1/run-1', leaseEpoch: 3 };
const WHY = { taskId: 'task-1', reason: 'the seed is gone' };

test('quarantine keeps bytes and reason, newest first', async () => {
  const first = await quarantineAuth(use.store, LEASE, auth('a'), WHY);
  const second = await quarantineAuth(use.store, LEASE, auth('b'), WHY);
  await quarantineAuth(use.store, { ...LEASE, seedId: 'other' }, auth('b'), WHY);
  expect(await listQuarantine(use.store, LEASE.seedId)).toEqual(
    [second, first].map((quarantineId) => ({
      quarantineId,
      ...LEASE,
      ...WHY,
      at: expect.any(Date) as Date,
      blobId: expect.stringMatching(/^[0-9a-f]{24}$/) as string,
    })),
  );
  expect(await listQuarantine(use.store)).toHaveLength(3);
  expect(await readQuarantined(use.store, first)).toEqual(auth('a'));
});

test('quarantine keeps the same bytes once for each lease', async () => {
  const first = await quarantineAuth(use.store, LEASE, auth('a'), WHY);
  expect(await quarantineAuth(use.store, LEASE, auth('a'), { ...WHY, reason: 'later' })).toBe(first);
  expect(await quarantineAuth(use.store, { ...LEASE, leaseEpoch: 4 }, auth('a'), WHY)).not.toBe(first);
  expect(await listQuarantine(use.store)).toHaveLength(2);
});

test('dropping a record removes its bytes', async () => {
  const id = await quarantineAuth(use.store, LEASE, auth('a'), WHY);
  const [{ blobId } = { blobId: '' }] = await listQuarantine(use.store);
  expect(await deleteQuarantined(use.store, id)).toBe(true);
  expect(await findBlob(use.store, blobId)).toBeNull();
  expect(await readQuarantined(use.store, id)).toBeNull();
  expect(await deleteQuarantined(use.store, id)).toBe(false);
  expect(await deleteQuarantined(use.store, 'nonsense')).toBe(false);
});
