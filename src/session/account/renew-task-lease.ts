import { reasonOf, TaskError } from '../../errors.js';
import { instantNow, writeDeadline, type Instant } from '../../process/deadline.js';
import type { LeaseRef, TaskRef } from '../../contract/activities.js';
import { renewLease } from '../../store/leases.js';
import type { LeasePorts } from '../model/account-ports.js';
import { taskFolder } from '../../task-folder/task-folder.js';

/** How long the leases of a detached worker last without the next worker. */
export const DETACHED_MS = 600_000;

/**
 * Answer to a renewal. `taken`: the database says that another holder has or had the seed. `unknown`: it did not
 * answer, so the caller asks again.
 */
export type LeaseAnswer = 'ours' | 'taken' | 'unknown';

/**
 * Renews a task's lease and moves the deadline at which its Codex is stopped. Once the worker has detached, each
 * renewal lasts as long as its tasks may be alone. Never rejects.
 */
export function renewTaskLease(host: LeasePorts, taskId: string, lease: LeaseRef): Promise<LeaseAnswer> {
  // In order: an earlier, shorter renewal must not reach the database last.
  return leaseInTurn(host, taskId, async () => {
    const askedAt = instantNow();
    const ttlMs = ttlOf(host);
    if (!(await renewLease(host.store, lease, ttlMs))) return 'taken';
    await moveDeadline(host, taskId, askedAt, ttlMs);
    return 'ours';
  });
}

/**
 * Renews the lease of a task whose codex has not started on it.
 * @throws TaskError `LeaseRefused` when another has the seed, `Unavailable` when the database does not say
 */
export async function requireLease(host: LeasePorts, { taskId }: TaskRef, lease: LeaseRef): Promise<void> {
  const answer = await renewTaskLease(host, taskId, lease);
  if (answer === 'ours') return;
  const { seedId } = lease;
  if (answer === 'taken')
    throw new TaskError('LeaseRefused', `Seed ${seedId} was leased to another before codex started`);
  throw new TaskError('Unavailable', `The database does not say who holds seed ${seedId}`);
}

/** Asks about a task's lease after earlier questions; a failure is an unknown answer. */
export function leaseInTurn(
  { tasks, log }: Pick<LeasePorts, 'tasks' | 'log'>,
  taskId: string,
  ask: () => Promise<LeaseAnswer>,
): Promise<LeaseAnswer> {
  return tasks.leaseTurns.run(taskId, ask).catch((error: unknown) => {
    log.warn({ taskId, reason: reasonOf(error) }, 'lease.request.failed');
    return 'unknown';
  });
}

/** Lifetime of a lease acquired or renewed now. Milliseconds. */
export const ttlOf = ({ tasks, leaseTtlMs }: Pick<LeasePorts, 'tasks' | 'leaseTtlMs'>): number =>
  tasks.detached.aborted ? DETACHED_MS : leaseTtlMs;

/** @param askedAt before the database was asked */
export async function moveDeadline(
  { config }: Pick<LeasePorts, 'config'>,
  taskId: string,
  askedAt: Instant,
  ttlMs: number,
): Promise<void> {
  const { root } = taskFolder(config.dataDir, taskId);
  await writeDeadline(root, askedAt, ttlMs).catch((error: NodeJS.ErrnoException) => {
    // Before the folder is made there is no codex to stop.
    if (error.code !== 'ENOENT') throw error;
  });
}
