import type { Context } from 'koa';
import { TaskError } from '../errors.js';
import type { HostContext } from '../session/model/host-context.js';
import type { HostTask } from '../session/model/host-tasks.js';
import { Refusal, unavailable } from './answer.js';
import { taskIdIn } from './task-segment.js';

export type Live = Extract<HostTask, { kind: 'live' }>;
export type Known = Exclude<HostTask, { kind: 'claimed' }>;

/** @throws Refusal 404 for a path that can name no task */
export function taskIdOf(ctx: Context): string {
  const [, , segment = ''] = ctx.path.split('/');
  const taskId = taskIdIn(segment);
  if (taskId === null) throw new Refusal(404, 'not-found');
  return taskId;
}

/** The task as far as clients may know of it; null when it is not, or not yet, here. */
export function knownTask(host: HostContext, ctx: Context): Known | null {
  const task = host.tasks.find(taskIdOf(ctx));
  return task && task.kind !== 'claimed' ? task : null;
}

/** The task, as long as it takes messages. @throws Refusal 404, 409 or 503 */
export function requireOpenTask(host: HostContext, ctx: Context): Known {
  const task = knownTask(host, ctx);
  if (!task) throw absent(host, ctx);
  const closed =
    task.kind === 'ending' || (task.kind === 'live' ? task.session.closed : task.stopping.signal.aborted);
  // A task that is only stopped with its worker continues with the next one.
  const leaves = host.tasks.isDraining || host.tasks.isLeaving(task.ref.taskId);
  if (closed) throw leaves ? unavailable('stopping') : new Refusal(409, 'closed');
  return task;
}

/** The task, when its session lives. @throws Refusal 404, 409 or 503 */
export function liveTask(host: HostContext, ctx: Context): Live {
  const task = requireOpenTask(host, ctx);
  if (task.kind === 'recovering') throw unavailable('recovering');
  if (task.kind === 'prepared' && task.parked) throw unavailable('parked');
  if (task.kind !== 'live' || !task.mounted) throw unavailable('starting');
  return task;
}

/** What is said of a task that is not here: it ended not long ago, or is not known. */
export function absent(host: HostContext, ctx: Context): Refusal {
  return host.ended.has(taskIdOf(ctx)) ? new Refusal(409, 'closed') : new Refusal(404, 'unknown-task');
}

/** Whether the session took the message, with its own refusals as ours. */
export async function whileOpen<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof TaskError && error.code === 'Unavailable') throw unavailable('recovering');
    if (error instanceof TaskError && error.code === 'SessionNotHere') throw new Refusal(409, 'closed');
    // Of a message that was checked here, only its images can be found wanting later.
    if (error instanceof TaskError && error.code === 'BadInput') throw new Refusal(400, 'bad-images');
    throw error;
  }
}
