import type { TaskMessage } from '../../contract/index.js';
import { TaskError } from '../../errors.js';
import type { Thread } from './thread.js';
import type { Journal } from '../../journal/journal.js';
import { appendEvent } from '../../journal/append-event.js';

/**
 * Accepts a message. Drops one with an unusable image and reports it as `x-optio-message-rejected`, since its sender
 * is gone.
 */
export async function acceptOrReject(
  thread: Thread,
  journal: Pick<Journal, 'append'>,
  message: TaskMessage,
): Promise<boolean> {
  try {
    return await thread.accept(message, { reopen: true });
  } catch (error) {
    if (!(error instanceof TaskError) || error.code !== 'BadInput') throw error;
    const { messageId } = message;
    appendEvent(journal, { type: 'x-optio-message-rejected', messageId, reason: error.message });
    return false;
  }
}
