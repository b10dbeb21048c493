import { deadline } from '../../async/within.js';
import { reasonOf } from '../../errors.js';
import type { HostContext } from '../model/host-context.js';

/** How long a disk that does not answer delays what follows the record. Milliseconds. */
const NOTE_MS = 2_000;

/**
 * Writes a record before the stop of a task's Codex, which follows in any case. False: the disk refused it or did not
 * take it in time. Never rejects.
 */
export async function tryToNote(
  host: Pick<HostContext, 'log'>,
  taskId: string,
  write: () => Promise<unknown>,
): Promise<boolean> {
  const late = () => new Error('the disk does not answer');
  const reason = await deadline(NOTE_MS, write(), late).then(() => null, reasonOf);
  if (reason !== null) host.log.error({ taskId, reason }, 'stop.record.failed');
  return reason === null;
}
