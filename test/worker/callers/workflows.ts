import { executeChild, workflowInfo } from '@temporalio/workflow';
import { CODEX_TASK, type CodexTaskInput, type CodexTaskResult } from 'codex-task-worker/contract';

type CodexTask = (input: CodexTaskInput) => Promise<CodexTaskResult>;

/** A caller's workflow: a task as its child on the same queue, with activities of the caller's as its hooks. */
export async function review(input: CodexTaskInput): Promise<string> {
  const { taskQueue, workflowId } = workflowInfo();
  const hooks = {
    onPermissionRequest: { taskQueue, activityType: 'allow' },
    afterExecute: { taskQueue, activityType: 'noteEnd' },
  };
  const result = await executeChild<CodexTask>(CODEX_TASK, {
    workflowId: `${workflowId}-task`,
    args: [{ ...input, hooks }],
  });
  return result.finalMessage ?? '';
}

/** One that has nothing to do with tasks. */
export const greet = async (name: string): Promise<string> => `Hello, ${name}`;

export default greet;
