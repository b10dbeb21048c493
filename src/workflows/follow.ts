import { condition } from '@temporalio/workflow';
import type { SessionEnd } from '../contract/activities.js';
import { throughRestarts } from './restarts.js';
import { continueIfLong, shouldContinue } from './continue-as-new.js';
import { openDeadline } from './deadline.js';
import { expandNext, forgetKept, keepLarge } from './keep.js';
import type { HostProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import type { Placed } from './assignment.js';

/** Follows the session to the end of the thread, however often it ends and is opened again. */
export async function follow(task: Task, assignment: Placed, host: HostProxy): Promise<SessionEnd['end']> {
  const { outbox, state } = task;
  if (state.status.state === 'recovering') task.enter(assignment.activity);
  for (;;) {
    const ended = await followAndDeliver(task, assignment, host);
    takeEnd(task, ended);
    // What arrived while the session was ending reopens it, but for a close.
    const { end } = ended;
    if (outbox.isEmpty || state.closing || end.kind === 'closed' || end.kind === 'limited') return end;
  }
}

/** Copies the result from the host's final report. */
function takeEnd(task: Task, ended: SessionEnd): void {
  const { result } = task.state;
  const { report, finalMessage, finalMessageTruncated, output, outputOmitted } = ended;
  task.report(report);
  result.finalMessage = finalMessage;
  if (finalMessageTruncated) result.finalMessageTruncated = true;
  delete result.output;
  delete result.outputOmitted;
  if (output !== undefined) result.output = output;
  if (outputOmitted) result.outputOmitted = true;
}

/**
 * Decides requests whose time is over, also while a delivery is under way: a host that is away would keep them open past
 * it. Gives what stops that.
 */
function keepExpiring(task: Task): () => void {
  const { permissions, spec } = task;
  if (spec.approvals.timeoutMs === null) return () => undefined;
  const expiry = openDeadline();
  let isStopped = false;
  const keep = async () => {
    while (!isStopped) {
      expiry.set(permissions.expire(Date.now()));
      task.show();
      const { version } = permissions;
      await condition(() => isStopped || permissions.version !== version || expiry.isOver);
    }
  };
  // It ends by a cancellation, which whoever follows the session hears too.
  keep().catch(() => undefined);
  return () => {
    isStopped = true;
    expiry.clear();
  };
}

/** Holds the task until its session ends, and hands down meanwhile whatever signals and timeouts decide. */
async function followAndDeliver(task: Task, assignment: Placed, host: HostProxy): Promise<SessionEnd> {
  const { ref, outbox, state } = task;
  let ended: { end: SessionEnd } | { error: unknown } | null = null;
  const deliver = async () => {
    if (!state.closing) {
      await expandNext(task);
      await keepLarge(task);
    }
    const delivery = outbox.take(ref);
    try {
      task.report(await throughRestarts(task, assignment, () => host.deliver(delivery)));
    } catch (error) {
      outbox.giveBack();
      throw error;
    }
    if (delivery.batches?.length) await forgetKept(delivery.batches);
  };
  const stopExpiring = keepExpiring(task);
  try {
    if (!outbox.isEmpty) await deliver();
    void throughRestarts(task, assignment, () => host.followSession(ref)).then(
      (end) => (ended = { end }),
      (error: unknown) => (ended = { error }),
    );
    for (;;) {
      task.show();
      await condition(() => ended !== null || !outbox.isEmpty || shouldContinue());
      if (ended) break;
      // What is not delivered yet goes along: a stream of messages must not keep this run from ending.
      continueIfLong();
      if (!outbox.isEmpty) await deliver();
    }
  } finally {
    stopExpiring();
  }
  const settled = ended as { end: SessionEnd } | { error: unknown };
  if ('error' in settled) throw settled.error;
  return settled.end;
}
