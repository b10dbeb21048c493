import type { ClaimActivities } from './claim.js';
import type { HostActivities } from './host.js';
import type { SharedActivities } from './shared.js';
import type { VerifyActivities } from './verify.js';

/**
 * How an activity uses its worker. `counted`: it is short, and only such ones share the worker's slots. `free`: it may
 * wait, or come in any number, so it takes no slot that another one needs.
 */
type Use = 'counted' | 'free';
type Queue = 'shared' | 'claims' | 'host';

/**
 * Every activity: whose queue it is on, how it uses that worker's slots, and what it waits for when all of those hold
 * one like it. What finishes or starts a task must find a slot whatever waits.
 */
export const SLOTS_OF = {
  // Each waits for one answer of MongoDB.
  acquireLease: { queue: 'shared', use: 'counted' },
  releaseLease: { queue: 'shared', use: 'counted' },
  fenceHost: { queue: 'shared', use: 'counted' },
  // One piece of a text each, for a task that waits for nothing else meanwhile.
  keepText: { queue: 'shared', use: 'free' },
  readText: { queue: 'shared', use: 'free' },
  dropTexts: { queue: 'shared', use: 'free' },
  // One look each, but one for every task of a lost host.
  awaitHost: { queue: 'shared', use: 'free' },
  evictTask: { queue: 'shared', use: 'free' },
  // Minutes with an account's server and a codex; bounded among themselves.
  checkSeed: { queue: 'shared', use: 'free' },
  listSeedsToVerify: { queue: 'shared', use: 'free' },
  // A slot is a free place of the host.
  claimHost: { queue: 'claims', use: 'counted' },
  // As long as the session; as many as there are tasks here, also more than the host may have now.
  followSession: { queue: 'host', use: 'free' },
  // A restore or an archive may take minutes, and waits for nobody else's step.
  prepareWorkdir: { queue: 'host', use: 'counted' },
  takeSnapshot: { queue: 'host', use: 'counted' },
  // Seconds; of one task one after another.
  launchAppServer: { queue: 'host', use: 'counted' },
  openListener: { queue: 'host', use: 'counted' },
  deliver: { queue: 'host', use: 'counted' },
  // Stops a codex and saves what it did; the task that waits for it holds nothing else here.
  yieldAssignment: { queue: 'host', use: 'counted' },
  parkTask: { queue: 'host', use: 'counted' },
  unparkTask: { queue: 'host', use: 'counted' },
  endSession: { queue: 'host', use: 'counted' },
  saveCredential: { queue: 'host', use: 'counted' },
  captureSeed: { queue: 'host', use: 'counted' },
  closeTask: { queue: 'host', use: 'counted' },
} as const satisfies Record<
  keyof (SharedActivities & VerifyActivities & ClaimActivities & HostActivities),
  { queue: Queue; use: Use }
>;

/** Whether an activity takes a slot that others may need; one that is not known here does. */
export function isCounted(activityType: string): boolean {
  const known: Record<string, { use: Use } | undefined> = SLOTS_OF;
  return known[activityType]?.use !== 'free';
}
