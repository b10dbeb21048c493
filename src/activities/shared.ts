import type { Acquired, AcquireArguments, LeaseRef } from '../step-arguments.js';
import { TaskError } from '../errors.js';
import { acquireSeed, releaseLease } from '../store/leases.js';
import type { Store } from '../store/mongo.js';
import { asActivities } from './as-activity.js';
import { hostRightSteps } from './host-right.js';

export interface SharedContext {
  readonly store: Store;
  readonly leaseTtlMs: number;
  /** Whether the namespace knows the task's search attributes. */
  readonly hasSearchAttributes: () => Promise<boolean>;
}

/** Steps that need no particular host. */
export const createSharedActivities = ({ store, leaseTtlMs, hasSearchAttributes }: SharedContext) =>
  asActivities({
    async acquireLease({ ref, credential }: AcquireArguments): Promise<Acquired> {
      const searchAttributes = await hasSearchAttributes();
      if ('none' in credential || 'apiKeyEnv' in credential) return { kind: 'no-seed', searchAttributes };
      const acquired = await acquireSeed(store, credential, `${ref.taskId}/${ref.runId}`, leaseTtlMs);
      if (acquired.kind === 'none') throw new TaskError('NoCredential', acquired.reason);
      return { ...acquired, searchAttributes };
    },

    async releaseLease(lease: LeaseRef): Promise<void> {
      await releaseLease(store, lease);
    },

    ...hostRightSteps(store),
  });

export type SharedActivities = ReturnType<typeof createSharedActivities>;
