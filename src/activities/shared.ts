import type {
  Acquired,
  AcquireArguments,
  Held,
  KeepArguments,
  Kept,
  ReleaseArguments,
  TaskRef,
} from '../contract/activities.js';
import { TaskError } from '../errors.js';
import { dropTexts, keepText, readText } from '../store/kept-texts.js';
import { findHost } from '../store/hosts.js';
import { leaseOfAssignment, releaseLease } from '../store/leases.js';
import { firstLimit, releaseLimited } from '../store/limit-seed.js';
import type { Store } from '../store/mongo.js';
import { findAssignment } from '../store/assignments.js';
import type { SeedSource } from '../store/acquire-seed.js';
import { acquireInTurn } from '../store/waiters.js';
import { asActivities } from './as-activity.js';
import { hostLeaseActivities } from './host-lease.js';
import { attemptOfStep, idempotentActivities } from './idempotent-activities.js';

export interface SharedContext {
  readonly store: Store;
  readonly leaseTtlMs: number;
  /** Which of the task's search attributes the namespace knows; `true`: all. */
  readonly hasSearchAttributes: () => Promise<boolean | string[]>;
}

/** Steps that need no particular host. */
export const createSharedActivities = ({ store, leaseTtlMs, hasSearchAttributes }: SharedContext) =>
  asActivities(
    idempotentActivities({
      async acquireLease({ ref, credential }: AcquireArguments): Promise<Acquired> {
        const searchAttributes = await hasSearchAttributes();
        const other = await otherAssignment(store, ref);
        if (other) return { ...other, searchAttributes };
        if ('none' in credential || 'apiKeyEnv' in credential) return { kind: 'no-seed', searchAttributes };
        const acquired = await acquireInTurn(store, credential, ref, leaseTtlMs, attemptOfStep());
        if (acquired.kind === 'none') throw new TaskError('NoCredential', acquired.reason);
        // One that began just then may be using the seed that was taken over: it ends before anything is done with it.
        const begun = acquired.kind === 'leased' && (await otherAssignment(store, ref));
        if (acquired.kind === 'busy') return { ...(await busy(store, credential)), searchAttributes };
        return { ...(begun || acquired), searchAttributes };
      },

      async releaseLease({ limitedUntil, limit, ...lease }: ReleaseArguments): Promise<void> {
        if (limitedUntil === undefined) await releaseLease(store, lease);
        else await releaseLimited(store, lease, new Date(limitedUntil), limit);
      },

      keepText: async ({ ref, text }: KeepArguments): Promise<{ blobId: string }> => ({
        blobId: await keepText(store, ref, text),
      }),

      readText: async ({ blobId }: { blobId: string }): Promise<{ text: string }> => ({
        text: await readText(store, blobId),
      }),

      dropTexts: ({ blobIds }: Kept): Promise<void> => dropTexts(store, blobIds),

      ...hostLeaseActivities(store),
    }),
    { isAnywhere: true },
  );

/** What there is to say to a task for which no seed is free. */
async function busy(store: Store, source: SeedSource): Promise<Extract<Acquired, { kind: 'busy' }>> {
  const limit = await firstLimit(store, source);
  return {
    kind: 'busy',
    limit: limit && { ...limit, until: limit.until.toISOString() },
    searchAttributes: false,
  };
}

/** The assignment that the task has beside this one, and what it has leased. */
async function otherAssignment(store: Store, ref: TaskRef): Promise<Held | null> {
  const assignment = await findAssignment(store, ref.taskId);
  if (!assignment || assignment.assignmentId === ref.assignmentId) return null;
  const { hostId, ordinal, ...held } = assignment;
  const [lease, host] = await Promise.all([leaseOfAssignment(store, held), findHost(store, hostId)]);
  const ttlMs = host?.ttlMs;
  return {
    kind: 'held',
    by: held,
    hostId,
    generation: ordinal,
    lease,
    ...(ttlMs !== undefined && { ttlMs }),
  };
}

export type SharedActivities = ReturnType<typeof createSharedActivities>;
