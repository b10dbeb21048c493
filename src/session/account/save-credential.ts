import { readAuthFacts } from '../../codex/auth-json.js';
import type { CredentialState, LeaseRef } from '../../contract/activities.js';
import { reasonOf, TaskError } from '../../errors.js';
import { markLeased } from '../../store/assign-seed.js';
import { quarantineAuth } from '../../store/quarantine.js';
import { fingerprint } from '../../store/seed-archive.js';
import { readSeed, saveBack, type SaveBackResult } from '../../store/seeds.js';
import type { AccountPorts, LeasePorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { noteSaved } from '../../task-folder/process-record.js';
import { readAuth } from './read-auth.js';
import { reportFault, credentialStateOf } from './task-account.js';

/** How long an invalid auth.json counts as one that is being written. Milliseconds. */
const BEING_WRITTEN_MS = 5_000;

/**
 * Saves a changed auth.json of the task into its seed, or into quarantine when the lease is lost or the file holds
 * another account. Saves of a task run in order, one at a time. Ignores an absent or invalid file, since Codex
 * replaces it as a whole. `confirms`: also checks that the seed still has what was saved before.
 */
export function saveCredential(
  host: AccountPorts,
  task: PreparedTask,
  lease: LeaseRef,
  { confirms = false }: { confirms?: boolean } = {},
): Promise<SaveBackResult> {
  return afterSaves(host, task.ref.taskId, () => saveNow(host, task, lease, confirms));
}

/** Runs after the earlier saves of this task, and before later ones. */
export const afterSaves = <T>(
  { tasks }: Pick<LeasePorts, 'tasks'>,
  taskId: string,
  act: () => Promise<T>,
): Promise<T> => tasks.saveTurns.run(taskId, act);

/** Saves for the last time here, and returns the warnings about its account. */
export async function saveForGood(
  host: AccountPorts,
  task: PreparedTask,
  lease: LeaseRef,
): Promise<CredentialState> {
  const { account } = task;
  // A client that counts no epochs may have replaced the saved token by an older one.
  await saveCredential(host, task, lease, { confirms: true });
  if (account.dead !== null && !account.isMarked) await markLeased(host.store, lease, 'dead');
  return credentialStateOf(account);
}

/** Retires the seed from its pool. If this fails, the task's last save repeats it. */
export async function markDead(host: AccountPorts, task: PreparedTask, lease: LeaseRef): Promise<void> {
  try {
    task.account.isMarked = await markLeased(host.store, lease, 'dead');
  } catch (error) {
    host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'seed.mark.failed');
  }
}

/** Revives a seed whose tokens could be refreshed after all. */
async function markAlive(host: AccountPorts, task: PreparedTask, lease: LeaseRef): Promise<void> {
  const { account } = task;
  if (account.dead === null) return;
  account.dead = null;
  if (account.isMarked) await markLeased(host.store, lease, 'alive');
  account.isMarked = false;
}

/** One save, run in turn; see `saveCredential`. */
export async function saveNow(
  host: AccountPorts,
  task: PreparedTask,
  lease: LeaseRef,
  confirms = false,
): Promise<SaveBackResult> {
  const { account } = task;
  // Judges the very bytes that it stores.
  const bytes = await readAuth(task.folder);
  const print = bytes && fingerprint(bytes);
  if (bytes === null || print === null) {
    noteInvalid(host, task, bytes === null);
    return { kind: 'unchanged' };
  }
  account.invalidSince = null;
  const accountId = accountIn(bytes);
  const isSaved = print === account.savedAuth;
  if (isSaved) {
    account.accountId ??= accountId;
    if (!confirms || account.accountId !== accountId) return { kind: 'unchanged' };
  }
  const known = account.accountId ?? (await accountOfSeed(host, lease));
  if (known instanceof TaskError) return keepUnknown(host, task, lease, { bytes, print, fault: known });
  account.accountId = known;
  if (account.accountId !== null && accountId !== account.accountId)
    return quarantineForeign(host, task, lease, bytes, print);
  const result = await saveBack(host.store, lease, bytes, { taskId: task.ref.taskId, confirms: isSaved });
  account.savedAuth = print;
  await noteSaved(task.folder, print).catch((error: unknown) =>
    host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'credential.record.failed'),
  );
  if (result.kind === 'quarantined') quarantined(host, task, lease, result);
  if (result.kind === 'saved') {
    host.accounts.saved++;
    host.log.info({ taskId: task.ref.taskId, seedId: lease.seedId }, 'credential.saved');
    await markAlive(host, task, lease);
  }
  return result;
}

/** The account of the seed; null when it names none; the error when it cannot be read. */
async function accountOfSeed(
  host: Pick<AccountPorts, 'store'>,
  lease: LeaseRef,
): Promise<string | null | TaskError> {
  try {
    const seed = await readSeed(host.store, lease.seedId);
    return seed?.authJson ? accountIn(seed.authJson) : null;
  } catch (error) {
    if (error instanceof TaskError && error.code !== 'Unavailable') return error;
    throw error;
  }
}

const accountIn = (authJson: Buffer): string | null => readAuthFacts(authJson)?.accountId ?? null;

/**
 * Quarantines a refreshed credential when the seed's account cannot be read here; a person or a later lease judges
 * it.
 */
async function keepUnknown(
  host: AccountPorts,
  task: PreparedTask,
  lease: LeaseRef,
  { bytes, print, fault }: { bytes: Buffer; print: string; fault: TaskError },
): Promise<SaveBackResult> {
  const reason = `the seed cannot be read: ${fault.message}`;
  const quarantineId = await quarantineAuth(host.store, lease, bytes, { taskId: task.ref.taskId, reason });
  task.account.savedAuth = print;
  await noteSaved(task.folder, print).catch(() => undefined);
  const result = { kind: 'quarantined', reason, quarantineId } as const;
  quarantined(host, task, lease, result);
  return result;
}

/** Quarantines a login to another account in Codex's home: the seed must not change its account. */
async function quarantineForeign(
  host: AccountPorts,
  task: PreparedTask,
  lease: LeaseRef,
  bytes: Buffer,
  print: string,
): Promise<SaveBackResult> {
  const reason = 'auth.json holds another account than the seed';
  const quarantineId = await quarantineAuth(host.store, lease, bytes, { taskId: task.ref.taskId, reason });
  task.account.savedAuth = print;
  host.accounts.quarantined++;
  const message = `${reason} ${lease.seedId}, which stays as it was; kept in quarantine as ${quarantineId}`;
  reportFault(host, task, { kind: 'foreign', message, quarantineId });
  return { kind: 'unchanged' };
}

function quarantined(
  host: AccountPorts,
  task: PreparedTask,
  { seedId }: LeaseRef,
  { reason, quarantineId }: Extract<SaveBackResult, { kind: 'quarantined' }>,
): void {
  host.accounts.quarantined++;
  const message = `The refreshed credential of seed ${seedId} is in quarantine as ${quarantineId}: ${reason}`;
  reportFault(host, task, { kind: 'quarantined', message, quarantineId });
}

/**
 * Codex writes a temporary file and renames it, so a file that stays away or invalid was changed by something else.
 */
function noteInvalid(host: AccountPorts, task: PreparedTask, isGone: boolean): void {
  const { account } = task;
  if (account.savedAuth === null) return;
  account.invalidSince ??= performance.now();
  if (performance.now() - account.invalidSince < BEING_WRITTEN_MS) return;
  const what = isGone ? 'is gone' : 'holds no credential any more';
  const message = `auth.json of task ${task.ref.taskId} ${what}: codex cannot refresh its tokens; the seed stays as it was`;
  reportFault(host, task, { kind: 'foreign', message });
}
