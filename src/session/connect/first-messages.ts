import type { TaskMessage } from '../../contract/index.js';
import type { TaskSpec } from '../../contract/task-spec.js';
import type { LedgerRecord } from '../../task-folder/ledger.js';
import { FIRST_IDS, takenIn } from '../../task-folder/taken-messages.js';

const [KICKOFF_ID, RESUMED_ID, PROMPT_ID] = FIRST_IDS;
const KICKOFF: TaskMessage = {
  messageId: KICKOFF_ID,
  text: 'Read AGENTS.md and execute the task it describes',
};
const RESUMED: TaskMessage = { messageId: RESUMED_ID, text: 'System: you have been resumed' };

/**
 * The first messages to the model: that it was resumed, where the host talks to it at all; then the prompt. A new
 * task with instructions and no prompt begins with those.
 * @param start `new`: on a new thread; `resumed`: on that of a snapshot; `again`: on this task's own
 */
export function firstMessages(
  spec: Pick<TaskSpec, 'prompt' | 'instructions' | 'hostProtocol'>,
  start: 'new' | 'resumed' | 'again',
  past: readonly LedgerRecord[],
): TaskMessage[] {
  // Messages that an earlier worker took are sent from its records.
  const ids = new Set(takenIn(past).ids);
  if (ids.has(PROMPT_ID)) return [];
  const prompt = spec.prompt === null ? [] : [{ messageId: PROMPT_ID, text: spec.prompt }];
  if (ids.has(KICKOFF_ID) || ids.has(RESUMED_ID)) return prompt;
  if (start === 'resumed' && spec.hostProtocol) return [RESUMED, ...prompt];
  return start === 'new' && prompt.length === 0 && spec.instructions ? [KICKOFF] : prompt;
}
