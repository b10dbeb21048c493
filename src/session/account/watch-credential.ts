import { setTimeout as sleep } from 'node:timers/promises';
import type { LeaseRef } from '../../step-arguments.js';
import { reasonOf, TaskError } from '../../errors.js';
import { changeAlarm } from './change-alarm.js';
import type { HostContext } from '../host-context.js';
import type { PreparedTask } from '../prepared-task.js';
import { renewTaskLease } from './renew-task-lease.js';
import { saveCredential } from './save-credential.js';
import { checkHome } from './unwritable-home.js';

const POLL_MS = 10_000;
const RETRY_MS = 1_000;
/** Between looks whether codex could still write its file; each turn begins with one of its own. */
const CHECK_MS = 60_000;
/** Between looks for a task that is not prepared yet. */
const LOOK_MS = 100;
/** Part of the TTL after which an unrenewed lease counts as lost: what is left is for a gentle stop. */
const GIVE_UP = 0.75;

/**
 * Keeps the lease and brings each rotation of the credential into the database, until aborted. Its first act
 * is a renewal. Neither waits for the other.
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
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  const renewed = whenRenewed();
  try {
    await Promise.race([
      keepLease(host, taskId, lease, either, isLaunched, renewed.first),
      renewed.wait.then(() => keepSaved(host, lease, findTask, either)),
    ]);
  } finally {
    ended.abort();
  }
}

/** A database out of reach is tried again; only time ends the lease, however long one attempt takes. */
async function keepLease(
  host: HostContext,
  taskId: string,
  lease: LeaseRef,
  signal: AbortSignal,
  isLaunched: boolean,
  onFirst: () => void,
): Promise<void> {
  let renewedAt = performance.now();
  let isFirst = true;
  while (!signal.aborted) {
    const began = performance.now();
    const giveUpMs = renewedAt + host.leaseTtlMs * GIVE_UP - began;
    const renewal = attempt(host, lease, 'lease.renew', () => renewTaskLease(host, taskId, lease));
    const isOurs = await within(giveUpMs, signal, renewal);
    if (signal.aborted) return;
    if (isOurs === false && isFirst && !isLaunched)
      throw new TaskError('LeaseRefused', `Seed ${lease.seedId} was leased to another before codex started`);
    if (isOurs === false) throw lost(lease, 'it was leased to another');
    if (isOurs) {
      renewedAt = began;
      if (isFirst) onFirst();
      isFirst = false;
    } else if (performance.now() - renewedAt >= host.leaseTtlMs * GIVE_UP)
      throw lost(lease, 'it could not be renewed in time');
    await pause(isOurs ? host.leaseTtlMs / 3 : Math.min(RETRY_MS, Math.max(giveUpMs, 0)), signal);
  }
}

async function keepSaved(
  host: HostContext,
  lease: LeaseRef,
  findTask: () => PreparedTask | null,
  signal: AbortSignal,
): Promise<void> {
  const alarm = changeAlarm('auth.json');
  let watched: PreparedTask | null = null;
  let checkedAt = -Infinity;
  try {
    while (!signal.aborted) {
      const task = findTask();
      if (task && task !== watched) {
        watched = task;
        alarm.watch(task.folder.codexHome);
      }
      const saved =
        task && (await attempt(host, lease, 'credential.save', () => saveCredential(host, task, lease)));
      if (saved && saved.kind === 'quarantined') throw lost(lease, saved.reason);
      if (task && performance.now() - checkedAt >= CHECK_MS) {
        checkedAt = performance.now();
        await attempt(host, lease, 'credential.check', () => checkHome(host, task));
      }
      await alarm.rings(task ? (saved ? POLL_MS : RETRY_MS) : LOOK_MS, signal);
    }
  } finally {
    alarm.close();
  }
}

function whenRenewed() {
  let first!: () => void;
  const wait = new Promise<void>((resolve) => (first = resolve));
  return { first, wait };
}

/** What `promise` resolves with, or null when the time is over or the signal says so. */
async function within<T>(ms: number, signal: AbortSignal, promise: Promise<T>): Promise<T | null> {
  const over = new AbortController();
  try {
    return await Promise.race([promise, pause(ms, AbortSignal.any([signal, over.signal])).then(() => null)]);
  } finally {
    over.abort();
  }
}

/** Ends early when the signal says so. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(Math.max(ms, 0), undefined, { signal }).catch(() => undefined);

const lost = ({ seedId }: LeaseRef, why: string) =>
  new TaskError('LeaseLost', `Lease lost on seed ${seedId}: ${why}`);

/** Null: it failed, which is said. */
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
