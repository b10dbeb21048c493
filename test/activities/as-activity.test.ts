import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { createClaimActivities, createSharedActivities } from '../../src/activities/index.js';
import type { HostContext } from '../../src/session/model/host-context.js';

const missing = (): never => {
  throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
};
const onThisHost = { nonRetryable: true, details: [{ fault: 'lasting' }] };
const elsewhere = { nonRetryable: false, details: [{ fault: 'lasting' }] };

it('fails on this host without a retry when something is missing on it', async () => {
  const { step } = asActivities({ step: async () => missing() });
  await expect(step()).rejects.toMatchObject(onThisHost);
});

it.each<[string, () => Promise<unknown>]>([
  [
    'claimHost',
    () => {
      const hostLease = { isHeld: missing };
      const host = { hostId: 'h', tasks: {}, hostLease } as unknown as HostContext;
      return createClaimActivities(host).claimHost({ taskId: 't', runId: 'r', assignmentId: 's' });
    },
  ],
  [
    'acquireLease',
    () => {
      const ref = { taskId: 't', runId: 'r', assignmentId: 's' };
      const shared = createSharedActivities({
        store: {} as never,
        leaseTtlMs: 1,
        hasSearchAttributes: missing,
      });
      return shared.acquireLease({ ref, credential: { none: true } });
    },
  ],
])('moves %s to another host when something is missing on this one', async (_, step) => {
  await expect(new MockActivityEnvironment().run(step)).rejects.toMatchObject(elsewhere);
});
