import { condition } from '@temporalio/workflow';
import type { SessionEnd } from '../step-arguments.js';
import { throughRestarts } from './restarts.js';
import { failure } from './settle.js';
import type { Place } from './place.js';
import type { HostSteps } from './steps.js';
import { takeEnd, type Task } from './task.js';

/** Codex's side of the task, from an empty folder, or where its host left it, to the end of the conversation. */
export async function runSession(task: Task, place: Place, host: HostSteps): Promise<SessionEnd> {
  const { spec } = task;
  if (!task.launched) await openSession(task, place, host);
  task.enter(spec.prompt === null ? 'idle' : 'running');
  for (;;) {
    const end = await followAndDeliver(task, host);
    takeEnd(task, end);
    // What arrived while the session was ending reopens it, but for a close.
    if (task.outbox.isEmpty || task.closing || end.end.kind === 'closed') return end;
  }
}

async function openSession(task: Task, { lease }: Place, host: HostSteps): Promise<void> {
  const { ref, spec, moved } = task;
  task.enter('preparing');
  await host.prepareWorkdir({ ref, spec, lease, ...(moved && { moved }) });
  task.enter('starting');
  const { warnings, ...launched } = await host.launchAppServer(ref);
  task.launched = true;
  Object.assign(task.status, launched, { warnings: [...task.status.warnings, ...warnings] });
  task.status.listener = await host.openListener(ref);
}

/** A session that did not end well fails its task. */
export function succeed({ end }: SessionEnd): 'completed' | 'interrupted' | 'closed' {
  if (end.kind === 'failed') throw failure(end.code, end.message);
  return end.kind;
}

/** Holds the task until its session ends, and hands down meanwhile whatever signals and timeouts decide. */
async function followAndDeliver(task: Task, host: HostSteps): Promise<SessionEnd> {
  const { ref, outbox, spec } = task;
  let ended: { end: SessionEnd } | { error: unknown } | null = null;
  const deliver = async () => {
    const delivery = outbox.take(ref);
    try {
      task.report(await throughRestarts(task, () => host.deliver(delivery)));
    } catch (error) {
      outbox.giveBack(delivery);
      throw error;
    }
  };
  if (!outbox.isEmpty) await deliver();
  void throughRestarts(task, () => host.followSession(ref)).then(
    (end) => (ended = { end }),
    (error: unknown) => (ended = { error }),
  );
  for (;;) {
    const expiresInMs = task.desk.expire(Date.now());
    const { version } = task.desk;
    const reschedules = () => spec.approvals.timeoutMs !== null && task.desk.version !== version;
    const wakes = () => ended !== null || !outbox.isEmpty || reschedules();
    task.show();
    if (expiresInMs === null) await condition(wakes);
    else await condition(wakes, expiresInMs);
    if (ended) break;
    if (!outbox.isEmpty) await deliver();
  }
  const settled = ended as { end: SessionEnd } | { error: unknown };
  if ('error' in settled) throw settled.error;
  return settled.end;
}
