import { patched, workflowInfo } from '@temporalio/workflow';
import type { CodexTaskInput } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { parseTaskInput, takeTaskInput } from '../input/parse-task-input.js';
import { mustRead } from './readable.js';
import type { TaskSpec } from '../contract/task-spec.js';

/**
 * Judges an input once: in a replay, perhaps by a worker whose rules are stricter, it is what it was judged to be. Only a
 * refusal is marked in the history, so an input that is taken costs nothing.
 * @param mark names what is judged: one name for each place of a workflow where that is done
 * @throws TaskError `BadInput`
 */
export function judgeOnce(input: unknown, taskId: string, mark: string): TaskSpec {
  const { isReplaying } = workflowInfo().unsafe;
  if (isReplaying && !patched(mark)) return asJudged(mustRead(input), taskId);
  try {
    const spec = parseTaskInput(input, taskId);
    if (!isReplaying) return spec;
  } catch (error) {
    patched(mark);
    throw error;
  }
  throw new TaskError(
    'BadInput',
    'input: it was refused by an earlier version of the worker, or by one without its key',
  );
}

/** An input that an earlier run, or this one before, has taken. */
export const asJudged = (input: unknown, taskId: string): TaskSpec =>
  takeTaskInput(input as CodexTaskInput | undefined, taskId);
