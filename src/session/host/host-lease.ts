import { setTimeout as delay } from 'node:timers/promises';
import { HostSuperseded, reasonOf } from '../../errors.js';
import {
  fenceAfter,
  instantNow,
  isPast,
  writeDeadline,
  type Fence,
  type Instant,
} from '../../host/deadline.js';
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
import type { HostRight } from '../model/host-right.js';

/** Renewals within one TTL. */
const RENEWALS = 6;
const RETRY_MS = 1_000;

export interface HostLease extends HostRight {
  /** Tasks that this host was to let go before this start. */
  readonly evicted: readonly Eviction[];
  /** Renews it once for longer, so that what runs here may outlive the worker. Nothing renews it afterwards. */
  extend(ttlMs: number): Promise<void>;
  /**
   * Ends it when no task is left here: the others have until its end for their worker to come back. A worker that
   * detached leaves it to them for as long as their leases.
   */
  close(): Promise<void>;
}

export interface HostLeaseOptions {
  readonly listenerUrl: string;
  /** Called with each task that this host has to let go, until it is off the list. */
  readonly onEvict: (eviction: Eviction) => void;
  /** The same with each ended task of which nothing is to be kept. */
  readonly onForget: (taskId: string) => void;
  /** Called when the right holds again that was over: others may have taken this host for lost. */
  readonly onBack: () => void;
  /** Called once when another start of this host has come instead. */
  readonly onSuperseded: () => void;
}

/**
 * Enters this host and renews its right until closed. With each renewal moves the deadline past which the guard
 * stops every codex of this data folder.
 * @throws NewerFormat when a newer worker left something here
 */
export async function holdHostLease(
  host: Omit<HostContext, 'right'>,
  { listenerUrl, onEvict, onForget, onBack, onSuperseded }: HostLeaseOptions,
): Promise<HostLease> {
  const { store, hostId, codex, log, leaseTtlMs: ttlMs } = host;
  const { dataDir } = host.config;
  const ended = new AbortController();
  const state: { fence: Fence | null; isSuperseded: boolean } = { fence: null, isSuperseded: false };
  let waiting: (() => void)[] = [];
  const isHeld = () => !state.isSuperseded && state.fence !== null && !isPast(state.fence);
  const renewed = async (askedAt: Instant, forMs: number) => {
    state.fence = fenceAfter(askedAt, forMs);
    await writeDeadline(dataDir, askedAt, forMs);
    for (const wake of waiting.splice(0)) wake();
  };

  const enteredAt = instantNow();
  const entering = { hostId, listenerUrl, version: codex.version, ttlMs };
  const left = () => assignmentsOnDisk(dataDir);
  await requireKnownFolders(dataDir);
  const { epoch, evict } = await registerHost(store, entering, await left());
  await renewed(enteredAt, ttlMs);
  let lease = { hostId, epoch };
  let leaving: ReadonlySet<string> = new Set(evict.map(({ ref }) => ref.assignmentId));

  /**
   * Registers again after the host document was removed. Returns false if a newer process of this host registered
   * first.
   */
  async function enterAgain(): Promise<boolean> {
    const known = host.tasks.all().map(({ ref }) => ref);
    const isKnown = new Set(known.map(({ assignmentId }) => assignmentId));
    const here = [...known, ...(await left()).filter(({ assignmentId }) => !isKnown.has(assignmentId))];
    // Taken at once: when the answer is lost, the next renewal finds that it was entered.
    lease = { hostId, epoch: await newEpoch(store) };
    // This clock may have stood still meanwhile.
    state.fence = null;
    log.warn(lease, 'host.forgotten');
    return enterHost(store, entering, lease.epoch, here);
  }

  async function renew(): Promise<'renewed' | 'retry' | 'superseded'> {
    const askedAt = instantNow();
    try {
      const answer = await renewHost(store, lease, ttlMs);
      if (!answer) {
        const isForgotten = (await findHost(store, hostId)) === null;
        return isForgotten && (await enterAgain()) ? 'retry' : 'superseded';
      }
      const wasHeld = isHeld();
      // What is to be let go must not be launched again first.
      leaving = new Set(answer.evict.map(({ ref }) => ref.assignmentId));
      for (const eviction of answer.evict) onEvict(eviction);
      for (const taskId of answer.forget) onForget(taskId);
      await renewed(askedAt, ttlMs);
      if (!wasHeld) {
        log.warn({ hostId }, 'host.lease.back');
        onBack();
      }
      return 'renewed';
    } catch (error) {
      log.warn({ hostId, reason: reasonOf(error) }, 'host.lease.retry');
      return 'retry';
    }
  }

  async function keep(): Promise<void> {
    let pauseMs = ttlMs / RENEWALS;
    for (;;) {
      await delay(pauseMs, undefined, { signal: ended.signal }).catch(() => undefined);
      if (ended.signal.aborted) return;
      const outcome = await renew();
      pauseMs = outcome === 'renewed' ? ttlMs / RENEWALS : Math.min(RETRY_MS, ttlMs / RENEWALS);
      if (outcome !== 'superseded') continue;
      state.isSuperseded = true;
      for (const wake of waiting.splice(0)) wake();
      log.error({ hostId, epoch: lease.epoch }, 'host.lease.superseded');
      onSuperseded();
      return;
    }
  }
  const keeping = keep();

  async function extend(forMs: number): Promise<void> {
    ended.abort();
    await keeping;
    const askedAt = instantNow();
    if (await renewHost(store, lease, forMs)) await renewed(askedAt, forMs);
  }

  return {
    evicted: evict,
    isHeld,
    isToEvict: (assignmentId) => leaving.has(assignmentId),
    async whenHeld(signal) {
      while (!isHeld()) {
        if (state.isSuperseded) throw new HostSuperseded(hostId);
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    },
    extend,
    async close() {
      waiting = [];
      if (host.tasks.detached.aborted && host.tasks.size > 0) return extend(DETACHED_MS);
      ended.abort();
      await keeping;
      if (host.tasks.size === 0) await leaveHost(store, lease);
    },
  };
}
