import { expect, test } from 'vitest';
import { newAssignment } from '../../src/workflows/assignment.js';
import { newestOf, noteEpoch, noteLeaseTaken } from '../../src/workflows/lease-epoch.js';

const LEASE = { seedId: 's1', holder: 't/r/s', leaseEpoch: 3 };

test('uses the lease with which the host adopted, for this seed and assignment only', () => {
  const one = { ...newAssignment('s'), hostId: 'h', lease: LEASE };
  for (const other of [{ seedId: 's2' }, { holder: 't/r/before' }, { leaseEpoch: 2 }])
    noteLeaseTaken(one, { ...LEASE, leaseEpoch: 9, ...other });
  expect(one.lease).toBe(LEASE);
  noteLeaseTaken(one, { ...LEASE, leaseEpoch: 4 });
  expect(newestOf(one, LEASE)).toEqual({ ...LEASE, leaseEpoch: 4 });
  noteEpoch(one, 5);
  expect(newestOf(one, LEASE)).toEqual({ ...LEASE, leaseEpoch: 5 });
  expect(newestOf(one, { ...LEASE, leaseEpoch: 6 })).toEqual({ ...LEASE, leaseEpoch: 6 });
  expect(newestOf(one, { ...LEASE, seedId: 's2' })).toEqual({ ...LEASE, seedId: 's2' });
  expect(newestOf(newAssignment('s'), LEASE)).toBe(LEASE);
});
