import { Context } from '@temporalio/activity';
import type { ConversationEnd } from '../session/conversation/end-rule.js';
import { firstToSettle } from '../async/first-to-settle.js';
import { untilAborted } from '../async/abort.js';
import { BUDGETS, headOf, textBytes } from '../budgets/budgets.js';
import type { SessionReport } from '../contract/index.js';
import { TaskError, type ErrorCode } from '../errors.js';
import { acceptOrReject } from '../session/conversation/accept-or-reject.js';
import type { LiveSession } from '../session/model/live-session.js';
import { launchSession } from '../session/connect/launch-session.js';
import { captureSeed, closeTask, endForGood } from '../session/task/end-task.js';
import type { HostContext } from '../session/model/host-context.js';
import type { HostTask, HostTasks } from '../session/model/host-tasks.js';
import type { Journal } from '../journal/journal.js';
import { parkAgain, parkTask, unparkTask } from '../session/task/park-task.js';
import { prepareTask } from '../session/task/prepare-task.js';
import { enterLive } from '../session/connect/recover-session.js';
import { saveForGood } from '../session/account/save-credential.js';
import { takeSnapshot } from '../snapshots/take-snapshot.js';
import { yieldAssignment } from '../session/host/yield-assignment.js';
import { readTaskManifest } from '../store/kept-texts.js';
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
  SessionStopped,
  SnapshotArguments,
  SnapshotTaken,
  TaskRef,
} from '../contract/activities.js';
import { asActivities } from './as-activity.js';
import { deliverInOrder, type Deliverer } from './delivery-parts.js';
import { withHeartbeat } from './heartbeat.js';
import { idempotentActivities, unlessPaused, whenUnwanted } from './idempotent-activities.js';
import type { FirstActivity } from '../session/model/host-fitness.js';
import type { TaskSpec } from '../contract/task-spec.js';

const HEARTBEAT_MS = 5_000;
/** With short leases their part of one; the timeout is half of it. */
const BEAT = 1 / 12;

/** Everything that touches this host. Each step may run twice. */
export const createHostActivities = (host: HostContext) => {
  const { tasks } = host;
  const beatMs = Math.min(HEARTBEAT_MS, host.leaseTtlMs * BEAT);
  const follow = async (ref: TaskRef): Promise<SessionEnd> => {
    const { session, end, stopping } = await withHeartbeat(
      () => followToEnd(tasks, ref),
      beatMs,
      () => ({ lastEventId: journalOf(tasks, ref)?.lastId }),
    );
    // A session that was stopped has not ended by itself: whoever stopped it says what that means.
    const lost = tasks.lossOf(ref);
    if (stopping.signal.aborted && lost) throw lost;
    if (stopping.signal.aborted) return withHeartbeat(() => Context.current().cancelled, beatMs);
    const { text, truncated } = cut(session.conversation.finalMessage);
    return {
      end,
      report: session.conversation.report(),
      finalMessage: text,
      finalMessageTruncated: truncated,
    };
  };
  const long = {
    followSession: (ref: TaskRef): Promise<SessionEnd> => unlessPaused(() => follow(ref)),
  };
  const begin = <T>(step: FirstActivity, ref: TaskRef, run: () => Promise<T>): Promise<T> =>
    tasks.inTurn(ref.taskId, async () => {
      tasks.keepClaim(ref);
      try {
        const begun = await run();
        host.fitness?.succeeded(step);
        return begun;
      } catch (error) {
        tasks.keepClaim(ref);
        throw host.fitness?.failed(step, ref.taskId, error) ?? error;
      }
    });
  const short = {
    async prepareWorkdir(args: PrepareArguments): Promise<void> {
      const spec = await wholeSpec(host, args);
      await begin('prepareWorkdir', args.ref, () => prepareTask(host, { ...args, spec }));
    },

    launchAppServer: (ref: TaskRef): Promise<Launched> =>
      begin('launchAppServer', ref, async () => {
        const task = tasks.find(ref.taskId);
        if (
          !task ||
          task.is === 'claimed' ||
          task.is === 'ending' ||
          task.ref.assignmentId !== ref.assignmentId
        )
          throw new TaskError('SessionNotHere', `Task ${ref.taskId} was not prepared on this host`);
        task.stopping.signal.throwIfAborted();
        if (task.is !== 'prepared') return launched(tasks.live(ref).session);
        if (task.parked) throw new TaskError('SessionNotHere', `Task ${ref.taskId} is parked`);
        const { prepared, stopping } = task;
        const session = await firstLaunch(host, task);
        enterLive(host, { is: 'live', ref, stopping, prepared, session, mounted: false });
        return launched(session);
      }),

    async openListener(ref: TaskRef): Promise<{ url: string }> {
      (await tasks.whenLive(ref, whenUnwanted())).mounted = true;
      return { url: host.taskUrl(ref.taskId) };
    },

    async deliver(delivery: Delivery): Promise<SessionReport> {
      const live = await tasks.whenLive(delivery.ref, whenUnwanted());
      const { conversation, channel } = live.session;
      const deliverer: Deliverer = {
        message: (message) => acceptOrReject(conversation, live.prepared.journal, message),
        decision: (decision) => conversation.decide(decision),
        control: (control) => conversation.setControl(control),
        answer: (answer) => channel.answer(answer),
        interrupt: (word) => conversation.interrupt(word),
      };
      await deliverInOrder(delivery, deliverer, async (kept) => {
        const parts = await readTaskManifest(host.store, kept.blobIds);
        if (parts === null) host.log.error({ taskId: delivery.ref.taskId, ...kept }, 'delivery.lost');
        return parts;
      });
      if (delivery.close) await conversation.closeForGood();
      return conversation.report();
    },

    takeSnapshot(args: SnapshotArguments): Promise<SnapshotTaken> {
      return takeSnapshot(host, args, { request: endOf(), signal: whenUnwanted() });
    },

    endSession: (ref: TaskRef): Promise<SessionStopped | undefined> => endForGood(host, ref),

    async saveCredential({ ref, lease: known }: { ref: TaskRef; lease: LeaseRef }): Promise<CredentialState> {
      const task = tasks.find(ref.taskId);
      if (!task || task.is === 'claimed') return { warnings: [], quarantineId: null };
      // It may have been taken again here, of which the workflow has not heard.
      const lease = task.prepared.lease ?? known;
      const state = await saveForGood(host, task.prepared, lease);
      tasks.endWatch(ref.taskId);
      return { ...state, lease };
    },

    yieldAssignment: (ref: TaskRef): Promise<void> => yieldAssignment(host, ref),

    parkTask: (args: ParkArguments): Promise<void> =>
      tasks.inTurn(args.ref.taskId, () => parkTask(host, args)),

    unparkTask: (args: { ref: TaskRef; lease: LeaseRef | null }): Promise<void> =>
      tasks.inTurn(args.ref.taskId, () => unparkTask(host, args)),

    captureSeed: (args: CaptureArguments) => captureSeed(host, args),

    closeTask: (args: CloseArguments): Promise<void> =>
      tasks.inTurn(args.ref.taskId, () => closeTask(host, args)),
  };
  return asActivities({ ...long, ...idempotentActivities(short, ['deliver']) });
};

export type HostActivities = ReturnType<typeof createHostActivities>;

const launched = ({ conversation, warnings }: LiveSession): Launched => {
  const { threadId, model, activity } = conversation.report();
  const isBusy = activity === 'running';
  return { threadId: threadId!, model, controls: conversation.controls(), warnings, isBusy };
};

/** Names the end of a task: a step that takes the place of one that was given up has the snapshot of that one. */
const endOf = (): string => `${Context.current().info.workflowExecution?.runId}/end`;

/**
 * The first codex on a lease.
 * @throws TaskError `LeaseRefused` when the seed went to another before that; as `launchSession` does
 */
async function firstLaunch(
  host: HostContext,
  task: Extract<HostTask, { is: 'prepared' }>,
): Promise<LiveSession> {
  try {
    const lost = host.tasks.lossOf(task.ref);
    if (lost) throw lost;
    return await launchSession(host, task.prepared, task.stopping.signal);
  } catch (error) {
    if (!(error instanceof TaskError) || !REFUSALS.has(error.code)) throw error;
    if (task.unparked) await parkAgain(host, task);
    throw new TaskError('LeaseRefused', error.message, { cause: error });
  }
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set(['LeaseLost', 'LeaseRefused']);

/** The input with what the workflow could not carry. @throws TaskError `BadInput` when that is lost */
async function wholeSpec({ store }: HostContext, { spec, keptSpec }: PrepareArguments): Promise<TaskSpec> {
  if (!keptSpec) return spec;
  const fields = await readTaskManifest(store, keptSpec.blobIds);
  if (fields === null)
    throw new TaskError('BadInput', 'The input of the task is not in the database any more');
  return { ...spec, ...(fields as Partial<TaskSpec>) };
}

/** Follows a task's sessions, each of which may take the place of one whose codex is gone. */
async function followToEnd(tasks: HostTasks, ref: TaskRef) {
  for (;;) {
    const live = await tasks.whenLive(ref, Context.current().cancellationSignal);
    const { conversation, left, link } = live.session;
    conversation.begin();
    // Whoever follows it again may have missed what it said before.
    if (followed.has(live.session)) link.sessionChanged(conversation.report());
    followed.add(live.session);
    const end = await firstToSettle<ConversationEnd | void>(
      [() => conversation.whenEnded(), () => left, untilAborted, () => Context.current().cancelled],
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
  return task && task.is !== 'claimed' ? task.prepared.journal : null;
}

function cut(message: string | null): { text: string | null; truncated: boolean } {
  if (message === null || textBytes(message) <= BUDGETS.finalMessage)
    return { text: message, truncated: false };
  return { text: headOf(message, BUDGETS.finalMessage), truncated: true };
}
