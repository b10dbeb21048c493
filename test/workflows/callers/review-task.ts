import {
  CancellationScope,
  executeChild,
  isCancellation,
  type ParentClosePolicy,
  startChild,
} from '@temporalio/workflow';
import {
  CODEX_TASK,
  sendMessageSignal,
  type CodexTaskInput,
  type CodexTaskResult,
} from 'codex-task-worker/contract';

type CodexTask = (input: CodexTaskInput) => Promise<CodexTaskResult>;

/** A caller's workflow: a task as its child, which is asked twice. */
export async function askTwice(taskQueue: string, taskId: string): Promise<CodexTaskResult> {
  const task = await startChild<CodexTask>(CODEX_TASK, {
    taskQueue,
    workflowId: taskId,
    args: [{ mode: 'conversation', prompt: 'Write it' }],
  });
  await task.signal(sendMessageSignal, { messageId: 'review', text: 'Look at it once more' });
  return task.result();
}

/** One that waits for its child; cancelled, it waits until that is put back. */
export async function waitFor(taskQueue: string, taskId: string): Promise<string> {
  const task = executeChild<CodexTask>(CODEX_TASK, {
    taskQueue,
    workflowId: taskId,
    args: [{ prompt: 'go' }],
  });
  try {
    return (await task).outcome;
  } catch (error) {
    if (!isCancellation(error)) throw error;
    return CancellationScope.nonCancellable(async () => 'cancelled');
  }
}

/** One that ends while its child runs. */
export async function leaveBehind(
  taskQueue: string,
  taskId: string,
  parentClosePolicy: ParentClosePolicy,
): Promise<void> {
  await startChild<CodexTask>(CODEX_TASK, {
    taskQueue,
    workflowId: taskId,
    args: [{ mode: 'conversation' }],
    parentClosePolicy,
  });
}
