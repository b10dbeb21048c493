import { listForVerification, type SeedsToVerify } from '../credentials/list-for-verification.js';
import { verifySeed } from '../credentials/verify-seed.js';
import { openSemaphore } from '../async/semaphore.js';
import type { HostContext } from '../session/model/host-context.js';
import type { SeedVerdict } from '../contract/verification.js';
import { asActivities } from './as-activity.js';
import { withHeartbeat } from './heartbeat.js';
import { whenUnwanted } from './idempotent-activities.js';

const HEARTBEAT_MS = 5_000;
/** Each starts a codex, beside those of this host's tasks. */
const CHECKS_AT_ONCE = 4;

/**
 * Steps on the shared queue that use this worker's codex and data folder: a seed is no host's, so whichever worker
 * is free verifies it.
 */
export const createVerifyActivities = (host: HostContext) => {
  const permits = openSemaphore(CHECKS_AT_ONCE);
  return asActivities({
    checkSeed({ seedId }: { seedId: string }): Promise<SeedVerdict> {
      const unwanted = whenUnwanted();
      const check = async () => {
        await permits.acquire(unwanted);
        try {
          return await verifySeed(host, seedId, unwanted);
        } finally {
          permits.release();
        }
      };
      return withHeartbeat(check, HEARTBEAT_MS);
    },

    listSeedsToVerify: (args: { pool: string; all: boolean; limit: number }): Promise<SeedsToVerify> =>
      listForVerification(host.store, args),
  });
};

export type VerifyActivities = ReturnType<typeof createVerifyActivities>;
