import type { Launched, PrepareArguments, TaskRef } from '../contract/activities.js';
import type { TaskSpec } from '../contract/task-spec.js';
import { TaskError, type ErrorCode } from '../errors.js';
import { launchSession } from '../session/connect/launch-session.js';
import { enterLive } from '../session/connect/recover-session.js';
import type { HostContext } from '../session/model/host-context.js';
import type { FirstActivity } from '../session/model/host-fitness.js';
import type { HostTask } from '../session/model/host-tasks.js';
import type { LiveSession } from '../session/model/live-session.js';
import { parkAgain } from '../session/task/park-task.js';
import { prepareTask } from '../session/task/prepare-task.js';
import { readKeptJson } from '../store/kept-texts.js';

/** With which a task begins on this host: whether they succeed says whether the host is fit. */
export function firstActivities(host: HostContext) {
  const { tasks } = host;
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
  return {
    async prepareWorkdir(args: PrepareArguments): Promise<void> {
      const spec = await wholeSpec(host, args);
      await begin('prepareWorkdir', args.ref, () => prepareTask(host, { ...args, spec }));
    },

    launchAppServer: (ref: TaskRef): Promise<Launched> =>
      begin('launchAppServer', ref, async () => launched(await launchOnce(host, ref))),
  };
}

/** The session of the task: the one that it has, or one with a new codex. */
async function launchOnce(host: HostContext, ref: TaskRef): Promise<LiveSession> {
  const { tasks } = host;
  const task = tasks.find(ref.taskId);
  if (
    !task ||
    task.kind === 'claimed' ||
    task.kind === 'ending' ||
    task.ref.assignmentId !== ref.assignmentId
  )
    throw new TaskError('SessionNotHere', `Task ${ref.taskId} was not prepared on this host`);
  task.stopping.signal.throwIfAborted();
  if (task.kind !== 'prepared') return tasks.live(ref).session;
  if (task.parked) throw new TaskError('SessionNotHere', `Task ${ref.taskId} is parked`);
  const { prepared, stopping } = task;
  const session = await firstLaunch(host, task);
  enterLive(host, { kind: 'live', ref, stopping, prepared, session, mounted: false });
  return session;
}

const launched = ({ thread, warnings }: LiveSession): Launched => {
  const { threadId, model, activity } = thread.report();
  const isBusy = activity === 'running';
  return { threadId: threadId!, model, controls: thread.choice.controls(), warnings, isBusy };
};

/**
 * The first codex on a lease.
 * @throws TaskError `LeaseRefused` when the seed went to another before that; as `launchSession` does
 */
async function firstLaunch(
  host: HostContext,
  task: Extract<HostTask, { kind: 'prepared' }>,
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
  const fields = await readKeptJson(store, keptSpec.blobIds);
  if (fields === null)
    throw new TaskError('BadInput', 'The input of the task is not in the database any more');
  return { ...spec, ...(fields as Partial<TaskSpec>) };
}
