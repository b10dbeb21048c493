import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type {
  CodexTaskInput,
  HookArguments,
  CredentialSource,
  ExecutionOutcome,
  RefreshedInput,
} from '../contract/index.js';
import { isContinuing, isInterruption, untilClosed, untilContinued } from './continue-as-new.js';
import { callHook, hookFault, type HookCall } from './hooks.js';
import { judgeOnce } from './judge-input.js';
import { failure } from './failures.js';
import { raceInScope } from './race.js';
import type { Task } from './task.js';
import type { Ending } from './ending.js';

/** How long an ended task waits for a worker of its last hooks. */
const LAST_WAIT: HookCall = { untakenMs: 20_000 };

/** Fields that `onResumeRefresh` may change: nothing has used them by then. */
const REFRESHABLE = [
  'prompt',
  'instructions',
  'model',
  'effort',
  'sandbox',
  'codexConfig',
  'env',
  'passEnv',
  'files',
] as const satisfies readonly (keyof RefreshedInput)[];

/** Asks for the settings of a resumed task. A refresh that fails leaves the input unchanged. */
export async function refreshInput(task: Task, input: CodexTaskInput = {}): Promise<void> {
  const { spec } = task;
  try {
    const argument = refreshArgument(task, input);
    const refreshed = await unlessClosed(task, () => callHook(task, 'onResumeRefresh', argument));
    if (refreshed === null || refreshed === 'closed') return;
    const odd = Object.keys(refreshed).filter((key) => !REFRESHABLE.some((name) => name === key));
    if (odd.length > 0) throw new Error(`it may not change ${odd.join(', ')}`);
    const parsed = judgeOnce({ ...input, ...refreshed }, spec.taskId, 'refresh-refused');
    for (const name of REFRESHABLE) if (name in refreshed) Object.assign(spec, { [name]: parsed[name] });
    task.update({ model: spec.model });
  } catch (error) {
    if (isInterruption(error)) throw error;
    task.warn(`Hook onResumeRefresh: ${hookFault(error)}; the input is unchanged`);
  }
}

/** The input, without its longest texts when it would not fit into a call. */
function refreshArgument(task: Task, input: CodexTaskInput): HookArguments['onResumeRefresh'] {
  const argument = { taskId: task.spec.taskId, input };
  if (jsonBytes(argument) <= BUDGETS.hookArgument) return argument;
  task.warn(
    'Hook onResumeRefresh: the input is too large for a call: it was sent without prompt and instructions',
  );
  const { prompt: _prompt, instructions: _instructions, ...rest } = input;
  return { ...argument, input: rest };
}

/**
 * Finds the task's account: the answer of `seedProvider`, else the input.
 * @throws ApplicationFailure `NoCredential` with the hook's reason
 */
export async function credentialOf(task: Task): Promise<CredentialSource | 'closed'> {
  const { credential, taskId } = task.spec;
  try {
    const seedId = await unlessClosed(task, () => callHook(task, 'seedProvider', { taskId }));
    if (seedId === 'closed' || seedId === null) return seedId ?? credential;
    const { waitMs } = { waitMs: undefined, ...credential };
    return { seedId, ...(waitMs !== undefined && { waitMs }) };
  } catch (error) {
    if (isInterruption(error)) throw error;
    throw failure('NoCredential', `Hook seedProvider: ${hookFault(error)}`);
  }
}

/**
 * Calls the last hook before Codex starts, once in a task.
 * @throws ApplicationFailure `HookFailed`
 */
export async function beforeExecute(task: Task): Promise<'closed' | null> {
  if (task.state.beforeExecuteDone) return null;
  task.state.beforeExecuteDone = true;
  const { taskId } = task.spec;
  try {
    return await unlessClosed(task, () => callHook(task, 'beforeExecute', { taskId }));
  } catch (error) {
    // It is asked again in the next run.
    if (isContinuing(error)) task.state.beforeExecuteDone = false;
    if (isInterruption(error)) throw error;
    throw failure('HookFailed', `Hook beforeExecute: ${hookFault(error)}`);
  }
}

/**
 * Calls the last hooks after teardown, however the task ended: neither a host nor an account waits for their worker.
 * A close or a cancellation meanwhile ends the wait.
 * @throws ApplicationFailure `HookFailed` when `afterExecute` failed a task that had completed
 */
export async function afterExecution(task: Task, ending: Ending): Promise<void> {
  if (!task.state.beforeExecuteDone) return;
  const isCancelled = 'error' in ending && isCancellation(ending.error);
  const call: HookCall = isCancelled || task.state.closing ? LAST_WAIT : {};
  const run = async () => {
    await seedSaved(task, call);
    await afterExecute(task, ending, call);
  };
  // Final hooks run even for a cancelled task.
  if (isCancelled) await CancellationScope.nonCancellable(run);
  else await run();
}

async function seedSaved(task: Task, call: HookCall): Promise<void> {
  const { taskId } = task.spec;
  const seedId = task.state.result.capturedSeedId;
  if (seedId === undefined || task.state.seedSavedDone) return;
  const argument = { taskId, seedId, info: null };
  try {
    await lastHook(task, call, () => callHook(task, 'onSeedSaved', argument, call));
  } catch (error) {
    if (isInterruption(error)) throw error;
    task.warn(`Hook onSeedSaved: ${hookFault(error)}`);
  }
  task.state.seedSavedDone = true;
}

async function afterExecute(task: Task, ending: Ending, call: HookCall): Promise<void> {
  const argument = { taskId: task.spec.taskId, outcome: outcomeOf(task, ending) };
  try {
    const left = await lastHook(task, call, () => callHook(task, 'afterExecute', argument, call));
    if (left === 'closed') task.warn('Hook afterExecute: not waited for, the task was closed');
  } catch (error) {
    if (isInterruption(error)) throw error;
    const said = `Hook afterExecute: ${hookFault(error)}`;
    if ('outcome' in ending) throw failure('HookFailed', said);
    task.warn(said);
  }
}

/** Final hooks run even for a closed task; a close that arrives now only ends the wait. */
async function lastHook<T>(task: Task, call: HookCall, run: () => Promise<T>): Promise<T | 'closed'> {
  if (call !== LAST_WAIT) return unlessClosed(task, run);
  // A cancelled task has no next run.
  return task.state.closing ? raceInScope<T>(run, untilContinued) : run();
}

function outcomeOf(task: Task, ending: Ending): ExecutionOutcome {
  if ('outcome' in ending) return ending.outcome;
  return isCancellation(ending.error) && !task.run.isOverdue ? 'cancelled' : 'failed';
}

/** Waits for `run`, or until a close meanwhile. */
async function unlessClosed<T>(task: Task, run: () => Promise<T>): Promise<T | 'closed'> {
  if (task.state.closing) return 'closed';
  return raceInScope<T | 'closed'>(run, () => untilClosed(task));
}
