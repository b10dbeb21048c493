import { condition } from '@temporalio/workflow';
import { continueIfLong, shouldContinue } from './continue-as-new.js';
import type { Assignment } from './assignment.js';
import type { Task } from './task.js';
import type { UnfitHost } from './unfit-host.js';

/** This many hosts cannot all be broken: the fault is in the task. */
const MAX_HOSTS = 3;
/** The same for attempts on one host where time changes nothing. */
const MAX_LASTING = 3;
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 60_000;

/** Notes a host that could not run an activity. */
export function noteRefusal(task: Task, hostId: string, { message }: UnfitHost): void {
  task.warn(`Host ${hostId} could not continue the task: ${message}`);
  const others = task.state.refusals.filter((each) => each.hostId !== hostId);
  task.state.refusals = [...others, { hostId, reason: message }].slice(-MAX_HOSTS);
}

/** Whether no further host and no further attempt is likely to begin the task. */
export const isInVain = ({ state: { refusals, triesInVain } }: Task, { isLasting }: UnfitHost): boolean =>
  refusals.length >= MAX_HOSTS || (isLasting && triesInVain + 1 >= MAX_LASTING);

/**
 * Pauses before another attempt to begin, and reports why.
 * @throws ContinueInNextRun
 */
export async function beforeNextTry(task: Task, { codexStarted }: Assignment): Promise<void> {
  const { state } = task;
  if (codexStarted) state.triesInVain = 0;
  const pauseMs = pauseBeforeTry(state.triesInVain, Math.random());
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

/**
 * Milliseconds before another attempt.
 * @param tries how many failed
 * @param chance from 0 to 1: spreads tasks that fail together
 */
const pauseBeforeTry = (tries: number, chance: number): number =>
  Math.min(FIRST_PAUSE_MS * 2 ** tries, LAST_PAUSE_MS) * (0.5 + chance * 0.5);
