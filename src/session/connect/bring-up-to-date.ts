import { acceptOrReject } from '../conversation/accept-or-reject.js';
import { findSubAgents } from '../conversation/find-sub-agents.js';
import type { PreparedTask } from '../model/prepared-task.js';
import type { Assembled } from './assemble.js';
import { catchUp } from './catch-up.js';
import type { Connection } from './dial.js';
import type { EnteredThread } from './enter-thread.js';
import { firstMessages } from './first-messages.js';

/**
 * Updates a thread in order: what happened without a connection, what Codex sent since, the first messages to the
 * model, accepted messages, and requested ends and interrupts.
 * @throws the error of Codex or the disk
 */
export async function bringUpToDate(
  task: PreparedTask,
  { rpc, account, words, isNew }: Connection,
  { threadId }: EnteredThread,
  { thread, channel }: Assembled,
): Promise<void> {
  const { journal, ledger, spec, recalled } = task;
  if (recalled) await catchUp(rpc, threadId, thread, recalled, isNew);
  if (isNew) thread.permissions.dropEarlier();
  else await findSubAgents(rpc, threadId, thread.agents);
  words.open(thread);
  for (const message of firstMessages(spec, startOf(task, threadId), ledger.past))
    await thread.accept(message);
  await task.inbox.handOver((message) => acceptOrReject(thread, journal, message));
  // A close may have reached a worker that was killed right after.
  if (ledger.past.some(({ t }) => t === 'close')) thread.turns.close();
  if (thread.turns.runningId !== null) account.assumeTurn(threadId);
  thread.interrupts.again();
  await channel.start(thread);
}

function startOf({ threadId, recalled, spec }: PreparedTask, opened: string): 'new' | 'resumed' | 'again' {
  if (opened !== threadId) return 'new';
  if (spec.resume !== null) return 'resumed';
  // An earlier worker opened the thread and may have died before its first report.
  return recalled ? 'new' : 'again';
}
