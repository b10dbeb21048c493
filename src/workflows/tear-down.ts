import { isCancellation } from '@temporalio/workflow';
import { BUDGETS, cutLines, firstWithin } from '../budgets/budgets.js';
import { newestOf } from './lease-epoch.js';
import { release } from './release.js';
import { GIVE_UP_MS } from './insist.js';
import { isHostGone, throughReturns } from './restarts.js';
import { taskFailure } from './failures.js';
import { hostProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import type { Placed } from './assignment.js';
import type { Ending } from './ending.js';
import { UnfitHost } from './unfit-host.js';

/** How long each activity of teardown is retried on a host that failed one for too long. */
const UNFIT_MS = 10_000;

/**
 * Leaves the host: stops Codex, saves its credential, releases the lease, ends the streams. Tries every activity
 * whatever became of the ones before; once the host is silent, only what other workers can do remains.
 */
export async function tearDown(task: Task, assignment: Placed, ending: Ending): Promise<void> {
  const { ref, spec, state } = task;
  let isUnfit = 'error' in ending && ending.error instanceof UnfitHost;
  const host = hostProxy(task, assignment, () => (isUnfit ? UNFIT_MS : GIVE_UP_MS));
  let { lease } = assignment;
  let hostIsGone = 'error' in ending && isHostGone(ending.error);
  const onHost = async (name: string, step: () => Promise<void>) => {
    if (hostIsGone) return;
    task.enter('tearing-down');
    try {
      await throughReturns(task, assignment, step);
    } catch (error) {
      hostIsGone = isHostGone(error);
      isUnfit ||= error instanceof UnfitHost;
      const reason = taskFailure(error);
      task.warn(`${name}: ${reason instanceof Error ? reason.message : String(reason)}`);
    }
  };

  const live = assignment.codexStarted;
  await onHost('stop codex', async () => {
    const stopped = await host.endSession(ref);
    task.warnOnce(stopped?.warnings ?? []);
  });
  const known = lease;
  let isSaved = false;
  if (known)
    await onHost('save credential', async () => {
      const {
        warnings,
        quarantineId,
        lease: last = known,
      } = await host.saveCredential({ ref, lease: newestOf(assignment, known) });
      lease = last;
      isSaved = true;
      task.warnOnce(warnings);
      if (quarantineId !== null) task.update({ quarantineId });
      task.show();
    });
  const capture = spec.captureSeed ?? (spec.hooks.onSeedSaved ? { pool: null, metadata: {} } : null);
  if (capture && live)
    await onHost('capture seed', async () => {
      const { seedId, skipped } = await host.captureSeed({
        ref,
        lease: lease && newestOf(assignment, lease),
        ...capture,
      });
      if (seedId !== null) state.result.capturedSeedId = seedId;
      if (skipped !== null) task.warn(`Seed not captured: ${skipped}`);
    });
  // A host that is gone may still run codex on this seed, and one that could not save has its newest credential: the
  // lease must run out instead.
  if (lease && !hostIsGone && isSaved) await release(task, newestOf(assignment, lease));
  let keepWork = false;
  if (live && spec.snapshot.checkpoint !== 'off') {
    keepWork = true;
    await onHost('snapshot', async () => {
      const { threadId } = state.status;
      const how = { kind: 'end', endState: endStateOf(ending) } as const;
      const args = { ref, settings: spec.snapshot, ...how, threadId };
      const { snapshotId, warnings = [] } = await host.takeSnapshot(args);
      state.result.snapshotId = snapshotId;
      task.warnOnce(warnings);
      keepWork = false;
    });
  }
  // A task that continues elsewhere takes them along.
  const ids = state.isEnding ? task.outbox.ids : [];
  const { kept: undelivered, more } = firstWithin(ids, BUDGETS.undelivered);
  if (more > 0) task.warn(`${more} more messages than the closing event names were not delivered`);
  await onHost('close', () => host.closeTask({ ref, ...closingReport(ending), keepWork, undelivered }));
}

function endStateOf(ending: Ending): 'done' | 'cancelled' | 'failed' {
  if ('outcome' in ending) return 'done';
  return isCancellation(ending.error) ? 'cancelled' : 'failed';
}

function closingReport(ending: Ending): { reason: string; outcome: string } {
  if ('outcome' in ending) return { reason: ending.outcome, outcome: ending.outcome };
  if (isCancellation(ending.error)) return { reason: 'cancelled', outcome: 'cancelled' };
  const error = taskFailure(ending.error);
  const reason = error instanceof Error ? error.message : String(error);
  return { reason: cutLines(reason, BUDGETS.failure), outcome: 'failed' };
}
