import type { LeaseRef } from '../step-arguments.js';
import { reasonOf, TaskError } from '../errors.js';
import { changeAlarm } from './change-alarm.js';
import type { HostContext } from './host-context.js';
import type { PreparedTask } from './prepare-task.js';
import { renewTaskLease } from './renew-task-lease.js';
import { saveCredential } from './save-credential.js';

const POLL_MS = 10_000;
const RETRY_MS = 1_000;
/** Part of the TTL after which an unrenewed lease counts as lost: what is left is for a gentle stop. */
const GIVE_UP = 0.75;

/**
 * Keeps the lease and brings each rotation of the credential into the database, until aborted. Its first act
 * is a renewal.
 * @throws TaskError `LeaseRefused` when that one is refused, `LeaseLost` when the lease went to another later,
 * or could not be renewed within its TTL for whatever reason
 */
export async function watchCredential(
  host: HostContext,
  taskId: string,
  lease: LeaseRef,
  findTask: () => PreparedTask | null,
  signal: AbortSignal,
  isLaunched: boolean,
): Promise<void> {
  let renewedAt = performance.now();
  const isOurs = await renewTaskLease(host, taskId, lease);
  if (!isOurs && isLaunched) throw lost(lease, 'it was leased to another');
  if (!isOurs)
    throw new TaskError('LeaseRefused', `Seed ${lease.seedId} was leased to another before codex started`);
  let nextRenewal = renewedAt + host.leaseTtlMs / 3;
  const alarm = changeAlarm('auth.json');
  let watched: PreparedTask | null = null;
  try {
    while (!signal.aborted) {
      const task = findTask();
      if (task && task !== watched) {
        watched = task;
        alarm.watch(task.folder.codexHome);
      }
      if (performance.now() >= nextRenewal) {
        const began = performance.now();
        const renewed = await attempt(host, lease, 'lease.renew', () => renewTaskLease(host, taskId, lease));
        if (renewed === false) throw lost(lease, 'it was leased to another');
        if (renewed) renewedAt = began;
        nextRenewal = performance.now() + (renewed ? host.leaseTtlMs / 3 : RETRY_MS);
        if (performance.now() - renewedAt >= host.leaseTtlMs * GIVE_UP)
          throw lost(lease, 'it could not be renewed in time');
      }
      const saved =
        task && (await attempt(host, lease, 'credential.save', () => saveCredential(host, task, lease)));
      if (saved && saved.kind === 'quarantined') throw lost(lease, saved.reason);
      const pollMs = task ? (saved ? POLL_MS : RETRY_MS) : 100;
      await alarm.rings(Math.min(pollMs, Math.max(nextRenewal - performance.now(), 0)), signal);
    }
  } finally {
    alarm.close();
  }
}

const lost = ({ seedId }: LeaseRef, why: string) =>
  new TaskError('LeaseLost', `Lease lost on seed ${seedId}: ${why}`);

/** A database out of reach is tried again; only time ends the lease. */
async function attempt<T>(
  { log }: HostContext,
  { seedId }: LeaseRef,
  what: string,
  act: () => Promise<T>,
): Promise<T | null> {
  try {
    return await act();
  } catch (error) {
    log.warn({ seedId, reason: reasonOf(error) }, `${what}.retry`);
    return null;
  }
}
