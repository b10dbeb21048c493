import { HOLD_OUTS, heldOutUntil } from '../../codex/usage-limit.js';
import { reasonOf } from '../../errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import { refusalsInARow } from '../../store/limit-seed.js';
import { holdOutWithoutSeed, type HoldOutRule } from '../conversation/usage-limit.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { countOf } from '../../task-folder/ledger.js';

/**
 * Computes how long a limit holds the account of this task out. Consecutive refusals of a seed are counted in the
 * database over all tasks and timed by its clock; those of a task without a seed are counted in its ledger.
 */
export function holdOutRule(
  host: Pick<AccountPorts, 'store' | 'log'>,
  { ref, ledger }: Pick<PreparedTask, 'ref' | 'ledger'>,
  lease: LeaseRef | null,
): HoldOutRule {
  return async (limit) => {
    if (!lease) return holdOutWithoutSeed(limit, countOf(ledger.past, 'suspended') + 1);
    const known = await refusalsInARow(host.store, lease.seedId).catch((error: unknown) => {
      host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'seed.refusals.read.failed');
      return { times: 0, nowMs: Date.now() };
    });
    const times = HOLD_OUTS[limit.kind].pause === 'until-reset' ? 1 : known.times + 1;
    return { limit, times, until: heldOutUntil(limit, times, known.nowMs) };
  };
}
