import { expect, test } from 'vitest';
import { newestOf, noteEpoch, noteLease } from '../../src/workflows/lease-epoch.js';

const LEASE = { seedId: 's1', holder: 't/r/s', leaseEpoch: 3 };

const task = () =>
  ({
    assignment: { assignmentId: 's', stage: 'live', place: { hostId: 'h', lease: LEASE } },
  }) as unknown as Parameters<typeof noteLease>[0];

test('the lease with which a host took a task up counts from then on, for this seed and stay only', () => {
  const one = task();
  for (const other of [{ seedId: 's2' }, { holder: 't/r/before' }, { leaseEpoch: 2 }])
    noteLease(one, { ...LEASE, leaseEpoch: 9, ...other });
  expect(one.assignment!.place.lease).toBe(LEASE);
  noteLease(one, { ...LEASE, leaseEpoch: 4 });
  expect(newestOf(one, LEASE)).toEqual({ ...LEASE, leaseEpoch: 4 });
  noteEpoch(one, 5);
  expect(newestOf(one, LEASE)).toEqual({ ...LEASE, leaseEpoch: 5 });
  expect(newestOf(one, { ...LEASE, leaseEpoch: 6 })).toEqual({ ...LEASE, leaseEpoch: 6 });
  expect(newestOf(one, { ...LEASE, seedId: 's2' })).toEqual({ ...LEASE, seedId: 's2' });
  expect(newestOf({ assignment: null }, LEASE)).toBe(LEASE);
});
