import type { HostContext } from '../model/host-context.js';
import type { LiveSession } from '../model/live-session.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { assemble } from './assemble.js';
import { bringUpToDate } from './bring-up-to-date.js';
import { dial, type LaunchedCodex } from './dial.js';
import { enterThread } from './enter-thread.js';
import { liveSession } from './live-session.js';
import { sandboxWarnings } from './sandbox-warnings.js';

export type { LaunchedCodex } from './dial.js';

/**
 * Connects to a Codex and updates its thread with everything missed, waiting and open.
 * @throws the error of the connection or of Codex; the caller ends the process
 */
export async function connectSession(
  host: HostContext,
  task: PreparedTask,
  launched: LaunchedCodex,
): Promise<LiveSession> {
  launched.warnings.push(...task.warnings, ...sandboxWarnings(task.spec.sandbox));
  const connection = await dial(host, task, launched);
  try {
    const entered = await enterThread(task, connection);
    const assembled = assemble(host, task, connection, entered);
    await bringUpToDate(task, connection, entered, assembled);
    return liveSession({ task, ...connection, ...assembled });
  } catch (error) {
    connection.rpc.close('not opened');
    throw error;
  }
}
