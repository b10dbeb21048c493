import { Context } from '@temporalio/activity';
import type { SessionReport } from '../contract/index.js';
import { acceptOrReject } from '../session/conversation/accept-or-reject.js';
import { captureSeed, closeTask, endForGood } from '../session/task/end-task.js';
import type { HostContext } from '../session/model/host-context.js';
import { parkTask, unparkTask } from '../session/task/park-task.js';
import { saveForGood } from '../session/account/save-credential.js';
import { takeSnapshot } from '../snapshots/take-snapshot.js';
import { yieldAssignment } from '../session/host/yield-assignment.js';
import { readKeptJson } from '../store/kept-texts.js';
import type {
  CaptureArguments,
  CloseArguments,
  CredentialState,
  Delivery,
  LeaseRef,
  ParkArguments,
  SessionStopped,
  SnapshotArguments,
  SnapshotTaken,
  TaskRef,
} from '../contract/activities.js';
import { asActivities } from './as-activity.js';
import { firstActivities } from './begin-task.js';
import { deliverInOrder, type Deliverer } from './delivery-parts.js';
import { followActivities } from './follow-session.js';
import { idempotentActivities, whenUnwanted } from './idempotent-activities.js';

/** Everything that touches this host. Each step may run twice. */
export const createHostActivities = (host: HostContext) =>
  asActivities({
    ...followActivities(host),
    ...idempotentActivities(
      { ...firstActivities(host), ...sessionActivities(host), ...lastActivities(host) },
      ['deliver'],
    ),
  });

export type HostActivities = ReturnType<typeof createHostActivities>;

/** While a task has a session here, or waits for one. */
const sessionActivities = (host: HostContext) => ({
  async openListener(ref: TaskRef): Promise<{ url: string }> {
    (await host.tasks.whenLive(ref, whenUnwanted())).mounted = true;
    return { url: host.taskUrl(ref.taskId) };
  },

  async deliver(delivery: Delivery): Promise<SessionReport> {
    const live = await host.tasks.whenLive(delivery.ref, whenUnwanted());
    const { thread, channel } = live.session;
    const deliverer: Deliverer = {
      message: (message) => acceptOrReject(thread, live.prepared.journal, message),
      decision: (decision) => thread.permissions.decide(decision),
      control: (control) => thread.setControl(control),
      answer: (answer) => channel.answer(answer),
      interrupt: (word) => thread.interrupt(word),
      rules: (rules) => thread.permissions.setRules(rules),
    };
    await deliverInOrder(delivery, deliverer, async (kept) => {
      const parts = await readKeptJson(host.store, kept.blobIds);
      if (parts === null) host.log.error({ taskId: delivery.ref.taskId, ...kept }, 'delivery.lost');
      return parts;
    });
    if (delivery.close) await thread.close();
    return thread.report();
  },

  yieldAssignment: (ref: TaskRef): Promise<void> => yieldAssignment(host, ref),

  parkTask: (args: ParkArguments): Promise<void> =>
    host.tasks.inTurn(args.ref.taskId, () => parkTask(host, args)),

  unparkTask: (args: { ref: TaskRef; lease: LeaseRef | null }): Promise<void> =>
    host.tasks.inTurn(args.ref.taskId, () => unparkTask(host, args)),
});

/** With which a task ends here. */
const lastActivities = (host: HostContext) => ({
  takeSnapshot(args: SnapshotArguments): Promise<SnapshotTaken> {
    return takeSnapshot(host, args, { request: endOf(), signal: whenUnwanted() });
  },

  endSession: (ref: TaskRef): Promise<SessionStopped | undefined> => endForGood(host, ref),

  async saveCredential({ ref, lease: known }: { ref: TaskRef; lease: LeaseRef }): Promise<CredentialState> {
    const task = host.tasks.find(ref.taskId);
    if (!task || task.kind === 'claimed') return { warnings: [], quarantineId: null };
    // It may have been taken again here, of which the workflow has not heard.
    const lease = task.prepared.lease ?? known;
    const state = await saveForGood(host, task.prepared, lease);
    host.tasks.endWatch(ref.taskId);
    return { ...state, lease };
  },

  captureSeed: (args: CaptureArguments) => captureSeed(host, args),

  closeTask: (args: CloseArguments): Promise<void> =>
    host.tasks.inTurn(args.ref.taskId, () => closeTask(host, args)),
});

/** Names the end of a task: a step that takes the place of one that was given up has the snapshot of that one. */
const endOf = (): string => `${Context.current().info.workflowExecution?.runId}/end`;
