import { setTimeout as delay } from 'node:timers/promises';
import type { DrainMode } from '../../config.js';
import type { TaskRef } from '../../contract/activities.js';
import { detachSessions } from './detach-sessions.js';
import { handOverTasks } from './hand-over-tasks.js';
import type { HostContext } from '../model/host-context.js';
import { stopSessions } from './stop-sessions.js';
import { timeLimit } from '../../async/time-limit.js';

/** How long the workflow of an orphaned task may take to end. Milliseconds. */
const LAST_STEP_MS = 10_000;
const POLL_MS = 100;

/**
 * Drains the host so that its worker can exit; see `DrainMode`. Waits until `hurry` aborts or `drainWaitMs` have
 * passed, then stops the rest gently.
 */
export async function drainSessions(host: HostContext, mode: DrainMode, hurry: AbortSignal): Promise<void> {
  const { tasks, config, log } = host;
  tasks.drain();
  log.info({ mode, tasks: tasks.size }, 'worker.drains');
  if (mode === 'detach') return detachSessions(host);
  const patience = timeLimit(config.drainWaitMs, hurry);
  const refs = tasks.all().map(({ ref }) => ref);
  if (mode === 'wait') await whenEmpty(host, patience);
  if (mode === 'move') await handOverTasks(host, patience);
  if (mode !== 'stop') await whenWorkflowsEnded(host, refs, patience);
  await stopSessions(host);
}

async function whenEmpty({ tasks }: Pick<HostContext, 'tasks'>, signal: AbortSignal): Promise<void> {
  while (tasks.size > 0 && !signal.aborted) await tasks.whenChanged(signal).catch(() => undefined);
}

/**
 * The workflow runs the last activity of a task that ended here, perhaps on this host's shared worker. An evicted
 * task needs nothing here any more.
 */
async function whenWorkflowsEnded(
  host: Pick<HostContext, 'tasks' | 'isRunning'>,
  refs: readonly TaskRef[],
  patience: AbortSignal,
): Promise<void> {
  const signal = timeLimit(LAST_STEP_MS, patience);
  const isHere = ({ taskId }: TaskRef) => host.tasks.find(taskId) !== undefined;
  const isElsewhere = (ref: TaskRef) => host.tasks.lossOf(ref)?.code === 'HostLost';
  const runs = (ref: TaskRef) => host.isRunning(ref).catch(() => false);
  const isAwaited = (ref: TaskRef) => !isHere(ref) && !isElsewhere(ref) && !signal.aborted;
  for (const ref of refs) while (isAwaited(ref) && (await runs(ref))) await delay(POLL_MS);
}
