import type { Output } from '../output.js';
import { createTranscript } from '../transcript.js';
import { isRequest, type TaskHandle } from '../../client/index.js';
import { postToListener } from '../../client/listener.js';
import type { CodexTaskResult, ThreadItem } from '../../contract/index.js';
import { TaskError } from '../../errors.js';
import type { Tick } from './demo-io.js';

/**
 * Follows a task to its end, prints what happens and allows what it asks for.
 * @throws TaskError when it asked for nothing, no command succeeded, or it did not complete
 */
export async function watchDemoTask(
  task: TaskHandle,
  output: Output,
  tick: Tick,
  signal: AbortSignal,
): Promise<CodexTaskResult> {
  const transcript = createTranscript(task.taskId, output.paint);
  let allowed = false;
  let ran = false;
  for await (const event of task.events({ signal })) {
    if (output.json) output.result({ id: event.id, event: event.event }, '');
    else output.text(transcript(event));
    if (event.name === 'item/completed' && succeeded(event.event.params.item)) ran = true;
    if (!isRequest(event)) continue;
    const { id } = event.event;
    const { url } = await allow(task, id);
    tick('Permission', `allowed by POST ${url}/permission`, { requestId: id });
    allowed = true;
  }
  signal.throwIfAborted();
  const result = await task.result();
  const missing = result.outcome !== 'completed' ? `ended ${result.outcome}` : whatIsMissing(allowed, ran);
  if (missing === null) return result;
  throw new TaskError(
    'CodexFailed',
    `Task ${task.taskId} ${missing}: ${result.finalMessage ?? 'no message'}`,
  );
}

async function allow(task: TaskHandle, requestId: string): Promise<{ url: string }> {
  const listener = await task.listener();
  await postToListener(listener, 'permission', { request_id: requestId, behavior: 'allow' });
  return listener;
}

const succeeded = (item: ThreadItem): boolean => item.type === 'commandExecution' && item.exitCode === 0;

function whatIsMissing(allowed: boolean, ran: boolean): string | null {
  if (!allowed) return 'asked for no permission';
  return ran ? null : 'ran no command with success';
}
