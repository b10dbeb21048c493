import { pause } from '../../async/pause.js';
import { Notifier } from '../../async/notifier.js';
import { HostSuperseded, reasonOf } from '../../errors.js';
import {
  fenceAfter,
  instantNow,
  isPast,
  writeDeadline,
  type Fence,
  type Instant,
} from '../../process/deadline.js';
import {
  enterHost,
  findHost,
  leaveHost,
  newEpoch,
  registerHost,
  renewHost,
  type Eviction,
} from '../../store/hosts.js';
import type { HostContext } from '../model/host-context.js';
import { DETACHED_MS } from '../account/renew-task-lease.js';
import { assignmentsOnDisk } from '../../task-folder/task-manifest.js';
import { requireKnownFolders } from './known-folders.js';
import type { HostLease } from '../model/host-lease.js';

/** Renewals within one TTL. */
const RENEWALS = 6;
const RETRY_MS = 1_000;

export interface OwnHostLease extends HostLease {
  /** Tasks that this host was asked to evict before this start. */
  readonly evicted: readonly Eviction[];
  /** Renews it once for longer, so that tasks here may outlive the worker. Nothing renews it afterwards. */
  extend(ttlMs: number): Promise<void>;
  /**
   * Ends it when no task is left here: other tasks have until its end for their worker to return. A detached worker
   * leaves it to them for as long as their leases.
   */
  close(): Promise<void>;
}

export interface HostLeaseOptions {
  readonly listenerUrl: string;
  /** Called with each task that this host has to evict, until it is off the list. */
  readonly onEvict: (eviction: Eviction) => void;
  /** The same with each ended task whose journal has to go. */
  readonly onForget: (taskId: string) => void;
  /** Called when an expired right is valid again: other hosts may have taken this one for lost. */
  readonly onBack: () => void;
  /** Called once when another start of this host has superseded it. */
  readonly onSuperseded: () => void;
}

/**
 * Registers this host and renews its right until closed. Each renewal moves the deadline at which the guard stops
 * every Codex of this data folder.
 * @throws NewerFormat when a newer worker left something here
 */
export async function holdHostLease(host: LeaseHolder, options: HostLeaseOptions): Promise<OwnHostLease> {
  const { dataDir } = host.config;
  const enteredAt = instantNow();
  await requireKnownFolders(dataDir);
  const { epoch, evict } = await registerHost(
    host.store,
    enteringOf(host, options),
    await assignmentsOnDisk(dataDir),
  );
  const lease = new HeldLease(host, options, epoch, evict);
  await lease.begin(enteredAt);
  return lease;
}

/** Inputs for holding the right. */
export type LeaseHolder = Pick<
  HostContext,
  'store' | 'hostId' | 'codex' | 'log' | 'leaseTtlMs' | 'config' | 'tasks'
>;

const enteringOf = (host: LeaseHolder, { listenerUrl }: HostLeaseOptions) => ({
  hostId: host.hostId,
  listenerUrl,
  version: host.codex.version,
  ttlMs: host.leaseTtlMs,
});

class HeldLease implements OwnHostLease {
  readonly #ended = new AbortController();
  #epoch: number;
  #fence: Fence | null = null;
  #isSuperseded = false;
  /** Assignments to evict. */
  #leaving: ReadonlySet<string>;
  #changes = new Notifier();
  #keeping: Promise<void> = Promise.resolve();

  constructor(
    private readonly host: LeaseHolder,
    private readonly options: HostLeaseOptions,
    epoch: number,
    readonly evicted: readonly Eviction[],
  ) {
    this.#epoch = epoch;
    this.#leaving = new Set(evicted.map(({ ref }) => ref.assignmentId));
  }

  /** @param enteredAt before the database was asked */
  async begin(enteredAt: Instant): Promise<void> {
    await this.#renewed(enteredAt, this.host.leaseTtlMs);
    this.#keeping = this.#keep();
  }

  isHeld(): boolean {
    return !this.#isSuperseded && this.#fence !== null && !isPast(this.#fence);
  }

  isToEvict(assignmentId: string): boolean {
    return this.#leaving.has(assignmentId);
  }

  async whenHeld(signal: AbortSignal): Promise<void> {
    while (!this.isHeld()) {
      if (this.#isSuperseded) throw new HostSuperseded(this.host.hostId);
      await this.#changes.wait(signal);
    }
  }

  async extend(forMs: number): Promise<void> {
    this.#ended.abort();
    await this.#keeping;
    const askedAt = instantNow();
    if (await renewHost(this.host.store, this.#lease, forMs)) await this.#renewed(askedAt, forMs);
  }

  async close(): Promise<void> {
    const { store, tasks } = this.host;
    // What is left for the next worker does not wake waiters.
    this.#changes = new Notifier();
    if (tasks.detached.aborted && tasks.size > 0) return this.extend(DETACHED_MS);
    this.#ended.abort();
    await this.#keeping;
    if (tasks.size === 0) await leaveHost(store, this.#lease);
  }

  get #lease(): { hostId: string; epoch: number } {
    return { hostId: this.host.hostId, epoch: this.#epoch };
  }

  async #keep(): Promise<void> {
    const { leaseTtlMs: ttlMs, log } = this.host;
    let pauseMs = ttlMs / RENEWALS;
    for (;;) {
      await pause(pauseMs, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      const outcome = await this.#renew();
      pauseMs = outcome === 'renewed' ? ttlMs / RENEWALS : Math.min(RETRY_MS, ttlMs / RENEWALS);
      if (outcome !== 'superseded') continue;
      this.#isSuperseded = true;
      this.#wake();
      log.error(this.#lease, 'host.lease.superseded');
      this.options.onSuperseded();
      return;
    }
  }

  async #renew(): Promise<'renewed' | 'retry' | 'superseded'> {
    const { store, hostId, log, leaseTtlMs } = this.host;
    const askedAt = instantNow();
    try {
      const answer = await renewHost(store, this.#lease, leaseTtlMs);
      if (!answer) {
        const isForgotten = (await findHost(store, hostId)) === null;
        return isForgotten && (await this.#enterAgain()) ? 'retry' : 'superseded';
      }
      const wasHeld = this.isHeld();
      // An assignment to evict must not be launched again first.
      this.#leaving = new Set(answer.evict.map(({ ref }) => ref.assignmentId));
      for (const eviction of answer.evict) this.options.onEvict(eviction);
      for (const taskId of answer.forget) this.options.onForget(taskId);
      await this.#renewed(askedAt, leaseTtlMs);
      if (!wasHeld) {
        log.warn({ hostId }, 'host.lease.recovered');
        this.options.onBack();
      }
      return 'renewed';
    } catch (error) {
      log.warn({ hostId, reason: reasonOf(error) }, 'host.lease.retry');
      return 'retry';
    }
  }

  /**
   * Registers again after the host document was removed. Returns false if a newer process of this host registered
   * first.
   */
  async #enterAgain(): Promise<boolean> {
    const { store, config, tasks, log } = this.host;
    const known = tasks.all().map(({ ref }) => ref);
    const isKnown = new Set(known.map(({ assignmentId }) => assignmentId));
    const left = await assignmentsOnDisk(config.dataDir);
    const here = [...known, ...left.filter(({ assignmentId }) => !isKnown.has(assignmentId))];
    // Noted at once: when the answer is lost, the next renewal finds the registration.
    this.#epoch = await newEpoch(store);
    // This clock may have stood still meanwhile.
    this.#fence = null;
    log.warn(this.#lease, 'host.forgotten');
    return enterHost(store, enteringOf(this.host, this.options), this.#epoch, here);
  }

  async #renewed(askedAt: Instant, forMs: number): Promise<void> {
    this.#fence = fenceAfter(askedAt, forMs);
    await writeDeadline(this.host.config.dataDir, askedAt, forMs);
    this.#wake();
  }

  #wake(): void {
    this.#changes.notifyAll();
  }
}
