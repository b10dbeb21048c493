import { patched, workflowInfo } from '@temporalio/workflow';
import type { CodexTaskInput } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { parseTaskInput, takeTaskInput } from '../input/parse-task-input.js';
import { mustRead } from './readable.js';
import type { TaskSpec } from '../contract/task-spec.js';

/**
 * Validates an input once: a replay keeps the verdict, even in a worker with stricter rules. Only a refusal leaves a
 * marker in the history, so a valid input costs nothing.
 * @param mark names the place in the workflow, one name each
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

/** An input that an earlier run, or this one before, has accepted. */
export const asJudged = (input: unknown, taskId: string): TaskSpec =>
  takeTaskInput(input as CodexTaskInput | undefined, taskId);
