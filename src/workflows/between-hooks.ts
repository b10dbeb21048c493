import type { CodexTaskInput, Outcome } from '../contract/index.js';
import { isContinuing, unlessCancelled } from './continue-as-new.js';
import { carryEnding, type Ending, endingFrom } from './ending.js';
import { afterExecution, refreshInput } from './execution-hooks.js';
import { forgetKept, forgetAll, read } from './keep.js';
import { asJudged } from './judge-input.js';
import type { Task } from './task.js';
import { beginEnding } from './too-late.js';

/**
 * Runs the task between its hooks: asks for the settings of a resumed task first, and calls the last hooks after
 * teardown. An earlier run may have torn down already.
 * @throws what the task ends with; ApplicationFailure `HookFailed` where a hook fails a task that had completed
 */
export async function betweenHooks(
  task: Task,
  input: CodexTaskInput | undefined,
  run: () => Promise<Outcome>,
): Promise<Outcome> {
  const { state } = task;
  const ending = state.ending ? endingFrom(state.ending) : await endingOf(task, input, run);
  state.ending = carryEnding(ending);
  beginEnding(task);
  try {
    await afterExecution(task, ending);
  } catch (error) {
    if ('outcome' in ending || isContinuing(unlessCancelled(error))) throw error;
  }
  await forgetAll(task);
  if ('error' in ending) throw ending.error;
  return ending.outcome;
}

async function endingOf(
  task: Task,
  input: CodexTaskInput | undefined,
  run: () => Promise<Outcome>,
): Promise<Ending> {
  const { state } = task;
  try {
    if (state.refreshing) await refreshInput(task, state.keptInput ? await givenInput(task) : input);
    state.refreshing = false;
    return { outcome: await run() };
  } catch (caught) {
    const error = unlessCancelled(caught);
    if (isContinuing(error)) throw error;
    return { error };
  }
}

/** The input with which an earlier run began the task; complete again from here on. */
async function givenInput({ spec, state }: Task): Promise<CodexTaskInput> {
  const { keptInput, keptSpec } = state;
  const input = (await read(keptInput!)) as CodexTaskInput;
  Object.assign(spec, asJudged(input, spec.taskId));
  state.keptSpec = null;
  if (keptSpec) await forgetKept([keptSpec]);
  return input;
}
