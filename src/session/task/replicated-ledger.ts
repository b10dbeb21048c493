import { within } from '../../async/within.js';
import { reasonOf } from '../../errors.js';
import type { TaskRef } from '../../contract/activities.js';
import { keepMessage } from '../../store/task-state.js';
import { correctionOf } from '../../input/own-ids.js';
import type { HostContext } from '../model/host-context.js';
import type { Ledger } from '../../task-folder/ledger.js';

/** How long a message waits for the database: it is on this host's disk in any case. Milliseconds. */
const KEEP_MS = 2_000;

/**
 * A ledger that stores messages in the database too, so that they outlive this host.
 * @param arrived gets the ids of messages that Codex has in its thread
 */
export function replicatedLedger(
  host: Pick<HostContext, 'store' | 'log'>,
  ref: TaskRef,
  ledger: Ledger,
  arrived: Set<string>,
): Ledger {
  return {
    ...ledger,
    async write(record) {
      if (record.t === 'accepted') arrived.add(record.messageId);
      const written = ledger.write(record);
      // A correction goes with the answer that it is about, which is on this host alone.
      if (record.t !== 'message' || correctionOf(record.message.messageId)) return written;
      const kept = keepMessage(host.store, ref, record.message).catch((error: unknown) =>
        host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'message.replicate.failed'),
      );
      await Promise.all([written, within(KEEP_MS, kept)]);
    },
  };
}
