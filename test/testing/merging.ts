import { condition, proxyActivities, startChild } from '@temporalio/workflow';
import {
  closeSignal,
  CODEX_TASK,
  type CodexTaskInput,
  type CodexTaskResult,
} from 'codex-task-worker/contract';

type CodexTask = (input: CodexTaskInput) => Promise<CodexTaskResult>;

const { merge } = proxyActivities<{ merge(text: string | null): Promise<string> }>({
  startToCloseTimeout: '10s',
});

/** A caller's workflow: what codex did is merged, unless that took longer than a working day. */
export async function reviewAndMerge(
  taskQueue: string,
  taskId: string,
  input: CodexTaskInput,
): Promise<string> {
  const task = await startChild<CodexTask>(CODEX_TASK, { taskQueue, workflowId: taskId, args: [input] });
  const ended = task.result();
  let isOver = false;
  void ended.then(
    () => (isOver = true),
    () => (isOver = true),
  );
  const isInTime = await condition(() => isOver, '8 hours');
  if (!isInTime) await task.signal(closeSignal);
  const { finalMessage } = await ended;
  return isInTime ? merge(finalMessage) : 'too late';
}
