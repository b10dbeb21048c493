import { endForGood } from '../../src/session/task/end-task.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import type { HostTask } from '../../src/session/model/host-tasks.js';
import { launchSession } from '../../src/session/connect/launch-session.js';
import { parkTask } from '../../src/session/task/park-task.js';
import { prepareTask } from '../../src/session/task/prepare-task.js';
import { enterLive } from '../../src/session/connect/recover-session.js';
import type { TaskRef } from '../../src/contract/activities.js';
import type { Lease } from '../../src/store/leases.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { until } from '../support/until.js';

/** What a task may be at when its worker is told to stop. */
export const STATES = [
  'preparing',
  'launching',
  'idle',
  'turn',
  'approval',
  'recovering',
  'parking',
  'parked',
  'ending',
] as const;
export type State = (typeof STATES)[number];

const input = (seedId: string) =>
  parseTaskInput(
    {
      mode: 'conversation',
      credential: { seedId },
      sandbox: { mode: 'danger-full-access' },
      approvals: { policy: 'on-request' },
    },
    't1',
  );

type Live = Extract<HostTask, { kind: 'live' }>;
const liveOf = (host: HostContext, { taskId }: { taskId: string }): Live | null => {
  const task = host.tasks.find(taskId);
  return task?.kind === 'live' ? task : null;
};

/** Brings a task to the state, as the steps of its workflow do. */
export async function comesTo(state: State, host: HostContext, ref: TaskRef, lease: Lease): Promise<void> {
  host.tasks.claim(ref);
  if (state === 'preparing') return;
  await prepare(host, ref, lease);
  if (state === 'launching') return;
  await launch(host, ref);
  const { thread } = liveOf(host, ref)!.session;
  thread.turns.begin();
  // Its save is what the stop finds undone.
  host.tasks.endWatch(ref.taskId);
  if (state === 'idle') return;
  await thread.accept({ messageId: 'm1', text: state === 'approval' ? 'ask' : 'hold' });
  await until('the turn', () => thread.turns.runningId);
  if (state === 'approval') await until('its request', () => thread.report().activity !== 'idle');
  if (state === 'parked') await park(host, ref, lease);
}

/** What is under way when the worker is told to stop. */
export function goesOn(state: State, host: HostContext, ref: TaskRef, lease: Lease): void {
  const underWay = () => {
    if (state === 'preparing') return prepare(host, ref, lease);
    if (state === 'launching') return launch(host, ref);
    if (state === 'parking') return park(host, ref, lease);
    if (state === 'ending') return endForGood(host, ref);
    return Promise.resolve();
  };
  if (state === 'recovering') process.kill(liveOf(host, ref)!.session.record.pid, 'SIGKILL');
  underWay().catch(() => undefined);
}

const prepare = (host: HostContext, ref: TaskRef, lease: Lease): Promise<unknown> =>
  host.tasks.inTurn(ref.taskId, () => prepareTask(host, { ref, spec: input(lease.seedId), lease }));

const launch = (host: HostContext, ref: TaskRef): Promise<void> =>
  host.tasks.inTurn(ref.taskId, async () => {
    const task = host.tasks.find(ref.taskId);
    if (task?.kind !== 'prepared') throw new Error(`task is ${task?.kind}`);
    task.stopping.signal.throwIfAborted();
    const session = await launchSession(host, task.prepared, task.stopping.signal);
    const { prepared, stopping } = task;
    enterLive(host, { kind: 'live', ref, stopping, prepared, session, mounted: true });
  });

const park = (host: HostContext, ref: TaskRef, lease: Lease): Promise<void> =>
  host.tasks.inTurn(ref.taskId, async () => {
    const turnId = liveOf(host, ref)!.session.thread.turns.runningId!;
    await parkTask(host, { ref, lease, turnId, until: '2030-01-01T00:00:00.000Z' });
  });
