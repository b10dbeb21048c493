import { condition } from '@temporalio/workflow';
import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import { boundControls } from '../budgets/bound-report.js';
import type { SessionEnd } from '../contract/activities.js';
import { beforeExecute } from './execution-hooks.js';
import { throughRestarts } from './restarts.js';
import { failure } from './settle.js';
import { continueIfLong, shouldContinue } from './continue-as-new.js';
import { openDeadline } from './deadline.js';
import { expandNext, forget, keepLarge, keepSpec } from './keep.js';
import type { HostProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import type { Placed } from './assignment.js';

/** Codex's side of the task, from wherever it stands to the end of the conversation. */
export async function runSession(
  task: Task,
  assignment: Placed,
  host: HostProxy,
): Promise<Pick<SessionEnd, 'end'>> {
  if (assignment.stage !== 'live') {
    if ((await launch(task, assignment, host)) === 'closed') return { end: { kind: 'closed' } };
  } else if (task.state.status.state === 'recovering') task.enter(assignment.activity);
  for (;;) {
    const end = await followAndDeliver(task, assignment, host);
    takeEnd(task, end);
    // What arrived while the session was ending reopens it, but for a close.
    const { kind } = end.end;
    if (task.outbox.isEmpty || task.state.closing || kind === 'closed' || kind === 'limited') return end;
  }
}

async function launch(task: Task, assignment: Placed, host: HostProxy): Promise<'closed' | null> {
  const { ref, spec, state } = task;
  const isNew = assignment.stage === 'new';
  if (isNew) {
    task.enter('preparing');
    const { lease } = assignment;
    const hookRequests = task.hookRequests.known();
    if (jsonBytes(spec) > BUDGETS.prepare) await keepSpec(task);
    const { keptSpec, previousHost } = state;
    await host.prepareWorkdir({
      ref,
      spec,
      ...(keptSpec && { keptSpec }),
      lease,
      ...(previousHost && { moved: { ...previousHost, hookRequests } }),
    });
    if ((await beforeExecute(task)) === 'closed') return 'closed';
  }
  task.enter('starting');
  const { warnings, isBusy = spec.prompt !== null || !isNew, ...launched } = await host.launchAppServer(ref);
  const controls = boundControls(launched.controls);
  assignment.codexStarted = true;
  state.triesInVain = 0;
  task.update({ ...launched, controls });
  task.warnOnce(warnings);
  task.update({ listener: await host.openListener(ref) });
  assignment.activity = isBusy ? 'running' : 'idle';
  task.enter(assignment.activity);
  assignment.stage = 'live';
  return null;
}

/** Copies the result from the host's final report. */
function takeEnd(task: Task, { report, finalMessage, finalMessageTruncated }: SessionEnd): void {
  const { result } = task.state;
  task.report(report);
  result.finalMessage = finalMessage;
  if (finalMessageTruncated) result.finalMessageTruncated = true;
}

/** A session that did not end well fails its task. */
export function requireSuccess({ end }: Pick<SessionEnd, 'end'>): 'completed' | 'interrupted' | 'closed' {
  if (end.kind === 'failed') throw failure(end.code, end.message);
  if (end.kind === 'limited') throw failure('CodexFailed', `Out of quota until ${end.resetsAt}`);
  return end.kind;
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
    if (delivery.batches?.length) await forget(delivery.batches);
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
