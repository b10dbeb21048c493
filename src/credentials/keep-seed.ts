import { within } from '../async/within.js';
import { SerialQueue } from '../async/serial-queue.js';
import { pause } from '../async/pause.js';
import { reasonOf, TaskError } from '../errors.js';
import { changeAlarm } from '../process/watch-file.js';
import type { LeasePorts } from '../session/model/account-ports.js';
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
export const keepSeed = (host: LeasePorts, folder: TaskFolder, lease: Lease, planted: Buffer): KeptSeed =>
  new SeedInFolder(host, folder, lease, planted);

class SeedInFolder implements KeptSeed {
  readonly #lost = new AbortController();
  readonly #closed = new AbortController();
  readonly #saves = new SerialQueue();
  readonly #keeping: Promise<unknown>;
  #savedPrint: string | null;
  /** What is in this process alone until it is saved. */
  #taken: Buffer | null = null;

  constructor(
    private readonly host: LeasePorts,
    readonly folder: TaskFolder,
    readonly lease: Lease,
    planted: Buffer,
  ) {
    this.#savedPrint = fingerprint(planted);
    this.#keeping = Promise.all([this.#renew(), this.#keepSaved()]);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  save(): Promise<void> {
    return this.#saves.run(() => this.#saveNow());
  }

  async take(authJson: Buffer): Promise<void> {
    this.#taken = authJson;
    await this.#putInTime(authJson);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#keeping;
    await this.#saves.idle();
    // What the database refused may find room on the disk by now.
    if (this.#taken) await this.#putInTime(this.#taken);
  }

  async #saveNow(): Promise<void> {
    const { host, folder, lease } = this;
    const { seedId } = lease;
    const own = this.#taken;
    // The bytes that are judged are the bytes that are stored.
    const bytes = own ?? (await readAuth(folder));
    const print = bytes && fingerprint(bytes);
    if (bytes === null || print === null || print === this.#savedPrint) return;
    const saved = await saveBack(host.store, lease, bytes, { taskId: folder.taskId });
    this.#savedPrint = print;
    if (this.#taken === own) this.#taken = null;
    if (saved.kind !== 'quarantined') return host.log.info({ seedId }, 'credential.saved');
    const { reason, quarantineId } = saved;
    host.log.error({ seedId, reason, quarantineId }, 'credential.quarantined');
    const error = new TaskError('LeaseLost', `Its new token is in quarantine as ${quarantineId}: ${reason}`);
    this.#lost.abort(error);
    throw error;
  }

  async #renew(): Promise<void> {
    const { host, folder, lease } = this;
    let renewedAt = performance.now();
    while (!this.#closed.signal.aborted) {
      const began = performance.now();
      const answer = await renewTaskLease(host, folder.taskId, lease);
      if (answer === 'ours') renewedAt = began;
      if (answer === 'taken')
        return this.#lost.abort(new TaskError('LeaseLost', 'Its lease went to another'));
      // No verdict on the seed: codex must stop, and what it refreshed is saved once the database answers.
      if (performance.now() - renewedAt >= host.leaseTtlMs * GIVE_UP)
        return this.#lost.abort(new TaskError('Unavailable', 'Its lease could not be renewed in time'));
      await pause(answer === 'ours' ? host.leaseTtlMs / 3 : RETRY_MS, this.#closed.signal);
    }
  }

  async #keepSaved(): Promise<void> {
    const { host, folder, lease } = this;
    const changes = changeAlarm('auth.json', (error) =>
      host.log.warn({ seedId: lease.seedId, reason: error.message }, 'credential.watch.failed'),
    );
    changes.watch(folder.codexHome);
    while (!this.#closed.signal.aborted) {
      await changes.rings(POLL_MS, this.#closed.signal);
      // The next call saves what fails here.
      await this.save().catch(() => undefined);
    }
    changes.close();
  }

  #putInTime(authJson: Buffer): Promise<void> {
    return within(PUT_MS, this.#put(authJson));
  }

  /** Separate from every save: a full disk keeps no token from the database. */
  async #put(authJson: Buffer): Promise<void> {
    try {
      await replaceFile(this.folder.authJson, authJson);
    } catch (error) {
      const { seedId } = this.lease;
      this.host.log.warn({ seedId, reason: reasonOf(error) }, 'credential.copy.failed');
    }
  }
}
