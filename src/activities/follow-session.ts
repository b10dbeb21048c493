import { Context } from '@temporalio/activity';
import { untilAborted } from '../async/abort.js';
import { firstToSettle } from '../async/first-to-settle.js';
import { boundOutput } from '../budgets/bound-output.js';
import { BUDGETS, headOf, textBytes } from '../budgets/budgets.js';
import type { SessionEnd, TaskRef } from '../contract/activities.js';
import type { Journal } from '../journal/journal.js';
import type { ThreadEnd } from '../session/conversation/end-rule.js';
import type { HostContext } from '../session/model/host-context.js';
import type { HostTasks } from '../session/model/host-tasks.js';
import type { LiveSession } from '../session/model/live-session.js';
import { withHeartbeat } from './heartbeat.js';
import { unlessPaused } from './idempotent-activities.js';

const HEARTBEAT_MS = 5_000;
/** With short leases their part of one; the timeout is half of it. */
const BEAT = 1 / 12;

/** Lasts as long as the task is here: a session, and whatever session takes its place. */
export function followActivities({ tasks, leaseTtlMs }: Pick<HostContext, 'tasks' | 'leaseTtlMs'>) {
  const beatMs = Math.min(HEARTBEAT_MS, leaseTtlMs * BEAT);
  return {
    followSession: (ref: TaskRef): Promise<SessionEnd> => unlessPaused(() => follow(tasks, ref, beatMs)),
  };
}

async function follow(tasks: HostTasks, ref: TaskRef, beatMs: number): Promise<SessionEnd> {
  const { session, end, stopping } = await withHeartbeat(
    () => followToEnd(tasks, ref),
    beatMs,
    () => ({ lastEventId: journalOf(tasks, ref)?.lastId }),
  );
  // A session that was stopped has not ended by itself: whoever stopped it says what that means.
  const lost = tasks.lossOf(ref);
  if (stopping.signal.aborted && lost) throw lost;
  if (stopping.signal.aborted) return withHeartbeat(() => Context.current().cancelled, beatMs);
  const { thread } = session;
  const { text, truncated } = cut(thread.totals.finalMessage);
  return {
    end,
    report: thread.report(),
    finalMessage: text,
    finalMessageTruncated: truncated,
    ...boundOutput(thread.totals.output),
  };
}

/** Follows a task's sessions, each of which may take the place of one whose codex is gone. */
async function followToEnd(tasks: HostTasks, ref: TaskRef) {
  for (;;) {
    const live = await tasks.whenLive(ref, Context.current().cancellationSignal);
    const { thread, superseded, link } = live.session;
    thread.turns.begin();
    // Whoever follows it again may have missed what it said before.
    if (followed.has(live.session)) link.sessionChanged(thread.report());
    followed.add(live.session);
    const end = await firstToSettle<ThreadEnd | void>(
      [() => thread.turns.whenEnded(), () => superseded, untilAborted, () => Context.current().cancelled],
      tasks.detached,
    );
    tasks.detached.throwIfAborted();
    if (end) return { ...live, end };
  }
}

/** Sessions of which a step of a workflow knows. */
const followed = new WeakSet<LiveSession>();

function journalOf(tasks: HostTasks, { taskId }: TaskRef): Journal | null {
  const task = tasks.find(taskId);
  return task && task.kind !== 'claimed' ? task.prepared.journal : null;
}

function cut(message: string | null): { text: string | null; truncated: boolean } {
  if (message === null || textBytes(message) <= BUDGETS.finalMessage)
    return { text: message, truncated: false };
  return { text: headOf(message, BUDGETS.finalMessage), truncated: true };
}
