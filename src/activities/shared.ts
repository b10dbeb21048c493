import type { Acquired, AcquireArguments, KeepArguments, Kept, ReleaseArguments } from '../step-arguments.js';
import { TaskError } from '../errors.js';
import { dropTexts, keepText, readText } from '../store/kept-texts.js';
import { releaseLease } from '../store/leases.js';
import { releaseLimited } from '../store/limit-seed.js';
import type { Store } from '../store/mongo.js';
import { acquireInTurn } from '../store/waiters.js';
import { asActivities } from './as-activity.js';
import { hostRightSteps } from './host-right.js';
import { attemptOfStep, retriedSteps } from './retried-steps.js';

export interface SharedContext {
  readonly store: Store;
  readonly leaseTtlMs: number;
  /** Whether the namespace knows the task's search attributes. */
  readonly hasSearchAttributes: () => Promise<boolean>;
}

/** Steps that need no particular host. */
export const createSharedActivities = ({ store, leaseTtlMs, hasSearchAttributes }: SharedContext) =>
  asActivities(
    retriedSteps({
      async acquireLease({ ref, credential }: AcquireArguments): Promise<Acquired> {
        const searchAttributes = await hasSearchAttributes();
        if ('none' in credential || 'apiKeyEnv' in credential) return { kind: 'no-seed', searchAttributes };
        const acquired = await acquireInTurn(store, credential, ref, leaseTtlMs, attemptOfStep());
        if (acquired.kind === 'none') throw new TaskError('NoCredential', acquired.reason);
        return { ...acquired, searchAttributes };
      },

      async releaseLease({ limitedUntil, ...lease }: ReleaseArguments): Promise<void> {
        if (limitedUntil === undefined) await releaseLease(store, lease);
        else await releaseLimited(store, lease, new Date(limitedUntil));
      },

      keepText: async ({ ref, text }: KeepArguments): Promise<{ blobId: string }> => ({
        blobId: await keepText(store, ref, text),
      }),

      readText: async ({ blobId }: { blobId: string }): Promise<{ text: string }> => ({
        text: await readText(store, blobId),
      }),

      dropTexts: ({ blobIds }: Kept): Promise<void> => dropTexts(store, blobIds),

      ...hostRightSteps(store),
    }),
  );

export type SharedActivities = ReturnType<typeof createSharedActivities>;
