import type { DrainMode } from '../config.js';
import { detachSessions } from './detach-sessions.js';
import { handOverTasks } from './hand-over-tasks.js';
import type { HostContext } from './host-context.js';
import { stopSessions } from './stop-sessions.js';

/**
 * Brings the tasks of a host to where its worker can go; see `DrainMode`. Whatever waits does so until `hurry`
 * aborts or `drainWaitMs` have passed; what is left then is stopped gently.
 */
export async function drainSessions(host: HostContext, mode: DrainMode, hurry: AbortSignal): Promise<void> {
  const { tasks, config, log } = host;
  tasks.drain();
  log.info({ mode, tasks: tasks.size }, 'worker.drains');
  if (mode === 'detach') return detachSessions(host);
  const patience = AbortSignal.any([hurry, AbortSignal.timeout(config.drainWaitMs)]);
  if (mode === 'wait') await whenEmpty(host, patience);
  if (mode === 'move') await handOverTasks(host, patience);
  await stopSessions(host);
}

async function whenEmpty({ tasks }: HostContext, signal: AbortSignal): Promise<void> {
  while (tasks.size > 0 && !signal.aborted) await tasks.whenChanged(signal).catch(() => undefined);
}
