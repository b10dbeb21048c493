import type { TaskMessage } from '../../contract.js';
import type { TaskSpec } from '../../task-input.js';
import type { LedgerRecord } from '../records/ledger.js';

const KICKOFF: TaskMessage = {
  messageId: 'kickoff',
  text: 'Read AGENTS.md and execute the task it describes',
};
const RESUMED: TaskMessage = { messageId: 'resumed', text: 'System: you have been resumed' };

/**
 * What the model is told first: that it was resumed, where the host talks to it at all; then the prompt. A new
 * task with instructions and no prompt begins with them.
 * @param start `new`: on a new thread; `resumed`: on that of a snapshot; `again`: on this task's own
 */
export function firstMessages(
  spec: Pick<TaskSpec, 'prompt' | 'instructions' | 'hostProtocol'>,
  start: 'new' | 'resumed' | 'again',
  past: readonly LedgerRecord[],
): TaskMessage[] {
  const prompt = spec.prompt === null ? [] : [{ messageId: 'prompt', text: spec.prompt }];
  // An earlier worker has sent the others.
  const ids = past.flatMap((record) => (record.t === 'message' ? [record.message.messageId] : []));
  if (ids.some((id) => id === KICKOFF.messageId || id === RESUMED.messageId)) return prompt;
  if (start === 'resumed' && spec.hostProtocol) return [RESUMED, ...prompt];
  return start === 'new' && prompt.length === 0 && spec.instructions ? [KICKOFF] : prompt;
}
