import type { TaskMessage } from '../../contract/index.js';
import type { Ledger } from '../../task-folder/ledger.js';

/** Takes a message; `false`: it is known already. */
export type Accept = (message: TaskMessage) => Promise<boolean>;

/** Holds messages that come before the session can take them. */
export interface Inbox {
  /** Takes a message once by its id; resolves when it is durable. */
  readonly accept: Accept;
  /** Passes all of them on, in order, and every later one. */
  handOver(to: Accept): Promise<void>;
}

/** Opens an inbox that records messages in `ledger` before it acknowledges them. */
export function openInbox(ledger: Pick<Ledger, 'write'>): Inbox {
  const taken = new Map<string, { message: TaskMessage; written: Promise<void> }>();
  let target: Accept | null = null;
  return {
    async accept(message) {
      if (target) return target(message);
      const { messageId } = message;
      const earlier = taken.get(messageId);
      if (earlier) return earlier.written.then(() => false);
      const written = ledger.write({ t: 'message', message });
      taken.set(messageId, { message, written });
      try {
        await written;
      } catch (error) {
        taken.delete(messageId);
        throw error;
      }
      return true;
    },
    async handOver(to) {
      // A message that comes meanwhile joins the end.
      for (const { message } of taken.values()) await to(message);
      target = to;
    },
  };
}
