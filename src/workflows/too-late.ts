import { namesOf } from './names-of.js';
import type { Task } from './task.js';

/** Whether an item for Codex is too late: it is refused, or dropped with a warning. */
export const isTooLate = ({ state: { closing, isEnding } }: Task): boolean => closing || isEnding;

/** Reports a late item; messages are named in the task's last event too, while there is one to come. */
export const reportTooLate = (task: Task, what: string): void =>
  task.warn(`${what} came too late: the task is ${task.state.isEnding ? 'ending' : 'closing'}`);

/** Names accepted messages that are never delivered, once nothing reaches the host any more. */
export function beginEnding(task: Task): void {
  if (task.state.isEnding) return;
  task.state.isEnding = true;
  const { permissions, outbox } = task;
  const say = (what: string, names: readonly string[]) =>
    names.length > 0 && task.warn(`${what} not delivered before the task's end: ${namesOf(names)}`);
  say('Messages', outbox.ids);
  say('Decisions', outbox.dropDecisions());
  say('Settings', outbox.controls);
  permissions.dropEarly(Infinity);
  permissions.abandon();
}
