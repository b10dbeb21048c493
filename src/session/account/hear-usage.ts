import { accountInfo, type AccountInfo } from '../../codex/account-info.js';
import { readAuthFacts } from '../../codex/auth-json.js';
import { readNotification } from '../../codex/narrow.js';
import type { RateLimitSnapshot } from '../../codex/protocol.js';
import { isOfAccount, limitNow, mergeLimits, tellsUsage } from '../../codex/usage-limit.js';
import { reasonOf } from '../../errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import { noteUsage } from '../../store/note-usage.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { readAuth } from './read-auth.js';

/** Pause between writes that change only the used percentage. Milliseconds. */
const OFTEN_MS = 60_000;
/** The same while nothing changes, to show that usage was read. Milliseconds. */
const SELDOM_MS = 15 * 60_000;

const SAID = 'account/rateLimits/updated';

/** Keeps with a seed what Codex reports about the limits of its account. */
export interface UsageEar {
  /** Takes each notification of codex. */
  seen(method: string, params: unknown): void;
  /** Codex is gone: writes what is still unwritten. */
  end(): void;
}

/**
 * Writes usage windows into the seed of a task: at once when one gets full or has room again, else at most once a
 * minute. The next report makes up for a failed write.
 */
export function hearUsage(
  host: Pick<AccountPorts, 'store' | 'log'>,
  { ref, folder }: Pick<PreparedTask, 'ref' | 'folder'>,
  lease: LeaseRef,
): UsageEar {
  let known: RateLimitSnapshot | null = null;
  let written: { at: number; text: string; isFull: boolean } | null = null;
  let writing = Promise.resolve();
  let timer: NodeJS.Timeout | null = null;

  const fullOf = (limits: RateLimitSnapshot) => {
    const limit = limitNow({ rateLimits: limits }, Date.now());
    return limit?.kind === 'reset' ? { until: new Date(limit.resetsAt), limitId: limit.limitId } : null;
  };

  function write(): void {
    if (timer) clearTimeout(timer);
    timer = null;
    const limits = known!;
    const full = fullOf(limits);
    written = { at: performance.now(), text: JSON.stringify(limits), isFull: full !== null };
    writing = writing
      .then(async () => {
        const facts = readAuthFacts((await readAuth(folder)) ?? Buffer.alloc(0));
        const describe = (stored: object | null): AccountInfo => {
          const earlier = stored as Partial<AccountInfo> | null;
          const { email, plan, account_id: accountId } = earlier ?? {};
          const who = facts ?? { email: email ?? null, plan: plan ?? null, accountId: accountId ?? null };
          return accountInfo(who, limits, earlier?.lifetime_tokens ?? null);
        };
        if (!(await noteUsage(host.store, lease, { describe, full }))) written = null;
      })
      .catch((error: unknown) => {
        written = null;
        host.log.warn({ taskId: ref.taskId, seedId: lease.seedId, reason: reasonOf(error) }, 'usage.unsaved');
      });
  }

  return {
    seen(method, params) {
      if (method !== SAID) return;
      const event = readNotification(method, params);
      if (event?.method !== SAID || !isOfAccount(event.params.rateLimits)) return;
      const limits = event.params.rateLimits;
      known = mergeLimits(known, limits);
      if (!tellsUsage({ rateLimits: known })) return;
      if (!written || written.isFull !== (fullOf(known) !== null)) return write();
      const isNews = written.text !== JSON.stringify(known);
      const dueMs = written.at + (isNews ? OFTEN_MS : SELDOM_MS) - performance.now();
      if (dueMs <= 0) write();
      else if (isNews) timer ??= setTimeout(write, dueMs).unref();
    },
    end() {
      if (timer) write();
    },
  };
}
