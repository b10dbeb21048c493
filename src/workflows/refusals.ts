import { condition } from '@temporalio/workflow';
import { continueIfLong, shouldContinue } from './continue-as-new.js';
import type { Task } from './task.js';
import type { UnfitHost } from './unfit-host.js';

/** As many hosts cannot all be broken: then it is the task. */
const MAX_HOSTS = 3;
/** The same for tries on one host where time changes nothing. */
const MAX_LASTING = 3;

/** Takes note of a host that could not do a step. */
export function noteRefusal(task: Task, hostId: string, { message }: UnfitHost): void {
  task.warn(`Host ${hostId} could not go on with the task: ${message}`);
  const others = task.state.refusals.filter((each) => each.hostId !== hostId);
  task.state.refusals = [...others, { hostId, reason: message }].slice(-MAX_HOSTS);
}

/** Whether it is not to be thought any more that another host, or another try, can begin a task. */
export const isInVain = ({ state: { refusals, triesInVain } }: Task, { isLasting }: UnfitHost): boolean =>
  refusals.length >= MAX_HOSTS || (isLasting && triesInVain + 1 >= MAX_LASTING);

/** Pauses before another try to begin, and says why. */
export async function beforeNextTry(task: Task, pauseMs: number): Promise<void> {
  const { state } = task;
  state.triesInVain++;
  const refusal = state.refusals.at(-1);
  const done = refusal && task.waitFor(`another try to begin: ${refusal.reason}`);
  try {
    await condition(() => state.closing || shouldContinue(), pauseMs);
    continueIfLong();
  } finally {
    done?.();
  }
}
