import { within } from '../async/within.js';
import { SerialQueue } from '../async/serial-queue.js';
import { pause } from '../async/pause.js';
import { reasonOf, TaskError } from '../errors.js';
import { changeAlarm } from '../process/watch-file.js';
import type { HostContext } from '../session/model/host-context.js';
import { readAuth } from '../session/account/read-auth.js';
import { renewTaskLease } from '../session/account/renew-task-lease.js';
import type { TaskFolder } from '../task-folder/task-folder.js';
import type { Lease } from '../store/leases.js';
import { fingerprint } from '../store/seed-archive.js';
import { saveBack } from '../store/seeds.js';
import { replaceFile } from '../task-folder/own-file.js';

/** A seed that lies in a folder of this host under a lease. */
export interface KeptSeed {
  readonly folder: TaskFolder;
  readonly lease: Lease;
  /** Aborts when the seed must not be used any more: `LeaseLost`, or `Unavailable` where the database does not answer. */
  readonly lost: AbortSignal;
  /**
   * Saves a changed auth.json to the database, one save after another.
   * @throws TaskError `LeaseLost` when it could only be kept in quarantine; the database's error
   */
  save(): Promise<void>;
  /**
   * Takes over an auth.json that is nowhere else yet: from now on the next save is of these bytes, whatever becomes of
   * the folder, in which they are put too as far as that goes.
   */
  take(authJson: Buffer): Promise<void>;
  /** Ends the renewals; what is being saved is saved when it resolves. */
  close(): Promise<void>;
}

const RETRY_MS = 1_000;
/** Between two looks at auth.json while nothing tells of its changes. */
const POLL_MS = 2_000;
/** How long a save waits for the copy in the folder, on a disk that answers nothing. */
const PUT_MS = 1_000;
/** Part of the TTL after which codex is stopped on a lease that nobody renewed: what is left is for a gentle stop. */
const GIVE_UP = 0.75;

/**
 * Renews the lease, moves the deadline at which the guard stops codex otherwise, and saves auth.json as soon as it
 * changes, until closed.
 * @param planted the auth.json that the folder and the database have now
 */
export function keepSeed(host: HostContext, folder: TaskFolder, lease: Lease, planted: Buffer): KeptSeed {
  const { log, leaseTtlMs } = host;
  const { seedId } = lease;
  const lost = new AbortController();
  const closed = new AbortController();
  let savedPrint = fingerprint(planted);
  /** What is in this process alone until it is saved. */
  let taken: Buffer | null = null;
  const saves = new SerialQueue();

  async function saveNow(): Promise<void> {
    const own = taken;
    // The bytes that are judged are the bytes that are stored.
    const bytes = own ?? (await readAuth(folder));
    const print = bytes && fingerprint(bytes);
    if (bytes === null || print === null || print === savedPrint) return;
    const saved = await saveBack(host.store, lease, bytes, { taskId: folder.taskId });
    savedPrint = print;
    if (taken === own) taken = null;
    if (saved.kind !== 'quarantined') return log.info({ seedId }, 'credential.saved');
    const { reason, quarantineId } = saved;
    log.error({ seedId, reason, quarantineId }, 'credential.quarantined');
    const error = new TaskError('LeaseLost', `Its new token is in quarantine as ${quarantineId}: ${reason}`);
    lost.abort(error);
    throw error;
  }
  const save = (): Promise<void> => saves.run(saveNow);
  async function renew(): Promise<void> {
    let renewedAt = performance.now();
    while (!closed.signal.aborted) {
      const began = performance.now();
      const answer = await renewTaskLease(host, folder.taskId, lease);
      if (answer === 'ours') renewedAt = began;
      if (answer === 'taken') return lost.abort(new TaskError('LeaseLost', 'Its lease went to another'));
      // No verdict on the seed: codex must stop, and what it refreshed is saved once the database answers.
      if (performance.now() - renewedAt >= leaseTtlMs * GIVE_UP)
        return lost.abort(new TaskError('Unavailable', 'Its lease could not be renewed in time'));
      await pause(answer === 'ours' ? leaseTtlMs / 3 : RETRY_MS, closed.signal);
    }
  }

  // Separate from every save: a full disk keeps no token from the database.
  async function put(authJson: Buffer): Promise<void> {
    try {
      await replaceFile(folder.authJson, authJson);
    } catch (error) {
      log.warn({ seedId, reason: reasonOf(error) }, 'credential.copy.failed');
    }
  }

  const putInTime = (authJson: Buffer) => within(PUT_MS, put(authJson));

  const changes = changeAlarm('auth.json', (error) =>
    log.warn({ seedId, reason: error.message }, 'credential.watch.failed'),
  );
  async function keepSaved(): Promise<void> {
    changes.watch(folder.codexHome);
    while (!closed.signal.aborted) {
      await changes.rings(POLL_MS, closed.signal);
      // The next call saves what fails here.
      await save().catch(() => undefined);
    }
    changes.close();
  }
  const keeping = Promise.all([renew(), keepSaved()]);
  return {
    folder,
    lease,
    lost: lost.signal,
    save,
    async take(authJson) {
      taken = authJson;
      await putInTime(authJson);
    },
    async close() {
      closed.abort();
      await keeping;
      await saves.idle();
      // What the database refused may find room on the disk by now.
      if (taken) await putInTime(taken);
    },
  };
}
