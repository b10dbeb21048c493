import { Context } from '@temporalio/activity';
import type { SessionReport } from '../contract.js';
import { TaskError } from '../errors.js';
import { acceptOrReject } from '../session/conversation/accept-or-reject.js';
import type { LiveSession } from '../session/launch-session.js';
import { launchSession } from '../session/launch-session.js';
import { beginEnding, captureSeed, closeTask, endSession } from '../session/end-task.js';
import type { HostContext } from '../session/host-context.js';
import type { HostTasks } from '../session/host-tasks.js';
import type { Journal } from '../session/records/journal.js';
import { parkTask, unparkTask } from '../session/park-task.js';
import { prepareTask } from '../session/prepare-task.js';
import { enterLive } from '../session/recover-session.js';
import { saveForGood } from '../session/account/save-credential.js';
import { takeSnapshot } from '../session/snapshots/take-snapshot.js';
import { findLeased, watchMeanwhile, watchTask } from '../session/watch-task.js';
import type {
  CaptureArguments,
  CloseArguments,
  CredentialState,
  Delivery,
  Launched,
  LeaseRef,
  ParkArguments,
  PrepareArguments,
  SessionEnd,
  SnapshotArguments,
  TaskRef,
  WatchArguments,
} from '../step-arguments.js';
import { asActivities } from './as-activity.js';
import { deliverInOrder } from './delivery-parts.js';
import { withHeartbeat } from './heartbeat.js';
import { retriedSteps, whenUnwanted } from './retried-steps.js';

const HEARTBEAT_MS = 5_000;
/** With short leases their part of one; the timeout is half of it. */
const BEAT = 1 / 12;
const MAX_FINAL_MESSAGE_BYTES = 256 * 1024;

/** Everything that touches this host. Each step may run twice. */
export const createHostActivities = (host: HostContext) => {
  const { tasks } = host;
  const beatMs = Math.min(HEARTBEAT_MS, host.leaseTtlMs * BEAT);
  const long = {
    async followSession(ref: TaskRef): Promise<SessionEnd> {
      const { session, end, stopping } = await withHeartbeat(
        () => followToEnd(tasks, ref),
        beatMs,
        () => ({ lastEventId: journalOf(tasks, ref)?.lastId }),
      );
      // A session that was stopped has not ended by itself: whoever stopped it says what that means.
      if (stopping.signal.aborted) return withHeartbeat(() => Context.current().cancelled, beatMs);
      const { text, truncated } = cut(session.conversation.finalMessage);
      return {
        end,
        report: session.conversation.report(),
        finalMessage: text,
        finalMessageTruncated: truncated,
      };
    },

    async watchCredential({ ref, lease, isLaunched }: WatchArguments): Promise<never> {
      const ends = AbortSignal.any([Context.current().cancellationSignal, tasks.detached]);
      const watch = async (): Promise<never> => {
        await watchTask(host, ref, lease, isLaunched, ends);
        tasks.detached.throwIfAborted();
        watchMeanwhile(host, ref, lease);
        // It ends without an error only when it is cancelled, by the workflow or by the worker's end.
        return Context.current().cancelled;
      };
      const lastEventId = () => findLeased(host, ref, lease)?.journal.lastId ?? 0;
      // While codex is being stopped too: the loss must not be taken for that of the host.
      return withHeartbeat(watch, beatMs, () => ({ lastEventId: lastEventId() }));
    },
  };
  const short = {
    async prepareWorkdir(args: PrepareArguments): Promise<void> {
      await tasks.inTurn(args.ref.taskId, () => prepareTask(host, args));
    },

    launchAppServer: (ref: TaskRef): Promise<Launched> =>
      tasks.inTurn(ref.taskId, async () => {
        const task = tasks.find(ref.taskId);
        if (!task || task.is === 'claimed' || task.is === 'ending' || task.ref.runId !== ref.runId)
          throw new TaskError('SessionNotHere', `Task ${ref.taskId} was not prepared on this host`);
        task.stopping.signal.throwIfAborted();
        if (task.is !== 'prepared') return launched(tasks.live(ref).session);
        if (task.parked) throw new TaskError('SessionNotHere', `Task ${ref.taskId} is parked`);
        const { prepared, stopping } = task;
        const session = await launchSession(host, prepared, stopping.signal);
        enterLive(host, { is: 'live', ref, stopping, prepared, session, mounted: false });
        return launched(session);
      }),

    async openListener(ref: TaskRef): Promise<{ url: string }> {
      (await tasks.whenLive(ref, Context.current().cancellationSignal)).mounted = true;
      return { url: host.taskUrl(ref.taskId) };
    },

    async deliver(delivery: Delivery): Promise<SessionReport> {
      const live = await tasks.whenLive(delivery.ref, Context.current().cancellationSignal);
      const { conversation, channel } = live.session;
      await deliverInOrder(delivery, {
        message: (message) => acceptOrReject(conversation, live.prepared.journal, message),
        decision: (decision) => conversation.decide(decision),
        control: (control) => conversation.setControl(control),
        answer: (answer) => channel.answer(answer),
        interrupt: () => conversation.interrupt(),
      });
      if (delivery.close) await conversation.closeForGood();
      return conversation.report();
    },

    takeSnapshot(args: SnapshotArguments): Promise<{ snapshotId: string }> {
      return takeSnapshot(host, args, { request: endOf(), signal: whenUnwanted() });
    },

    async endSession(ref: TaskRef): Promise<void> {
      await beginEnding(host, ref);
      await endSession(host, ref);
    },

    async saveCredential({ ref, lease }: { ref: TaskRef; lease: LeaseRef }): Promise<CredentialState> {
      const task = tasks.find(ref.taskId);
      if (!task || task.is === 'claimed') return { warnings: [], quarantineId: null };
      return saveForGood(host, task.prepared, lease);
    },

    parkTask: (args: ParkArguments): Promise<void> =>
      tasks.inTurn(args.ref.taskId, () => parkTask(host, args)),

    unparkTask: (args: { ref: TaskRef; lease: LeaseRef | null }): Promise<void> =>
      tasks.inTurn(args.ref.taskId, () => unparkTask(host, args)),

    captureSeed: (args: CaptureArguments) => captureSeed(host, args),

    closeTask: (args: CloseArguments): Promise<void> =>
      tasks.inTurn(args.ref.taskId, () => closeTask(host, args)),
  };
  return asActivities({ ...long, ...retriedSteps(short, ['deliver']) });
};

export type HostActivities = ReturnType<typeof createHostActivities>;

const launched = ({ conversation, warnings }: LiveSession): Launched => {
  const { threadId, model, activity } = conversation.report();
  const isBusy = activity === 'running';
  return { threadId: threadId!, model, controls: conversation.controls(), warnings, isBusy };
};

/** Names the end of a task: a step that takes the place of one that was given up has the snapshot of that one. */
const endOf = (): string => `${Context.current().info.workflowExecution?.runId}/end`;

/** Follows a task's sessions, each of which may take the place of one whose codex is gone. */
async function followToEnd(tasks: HostTasks, ref: TaskRef) {
  for (;;) {
    const live = await tasks.whenLive(ref, Context.current().cancellationSignal);
    const { conversation, left } = live.session;
    conversation.begin();
    const end = await untilAborted(
      Promise.race([conversation.whenEnded(), left, whenAborted(tasks.detached)]),
    );
    tasks.detached.throwIfAborted();
    if (end) return { ...live, end };
  }
}

function journalOf(tasks: HostTasks, { taskId }: TaskRef): Journal | null {
  const task = tasks.find(taskId);
  return task && task.is !== 'claimed' ? task.prepared.journal : null;
}

const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const untilAborted = <T>(promise: Promise<T>): Promise<T> =>
  Promise.race([promise, Context.current().cancelled]);

function cut(message: string | null): { text: string | null; truncated: boolean } {
  if (message === null || Buffer.byteLength(message) <= MAX_FINAL_MESSAGE_BYTES)
    return { text: message, truncated: false };
  const text = Buffer.from(message).subarray(0, MAX_FINAL_MESSAGE_BYTES).toString('utf8');
  return { text: text.replace(/\uFFFD+$/, ''), truncated: true };
}
