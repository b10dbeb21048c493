import { setTimeout as delay } from 'node:timers/promises';
import { pause } from '../../async/pause.js';
import { timeLimit } from '../../async/time-limit.js';
import type { TaskHandle } from '../../client/index.js';
import { basicAuthorization } from '../../client/listener.js';
import { TaskError } from '../../errors.js';
import { objectIdOf, seedsOf } from '../../store/collections.js';
import { listSnapshots } from '../../store/snapshots.js';
import type { Demo } from './open-demo.js';

const CHECKPOINT_MS = 30_000;
const DOWNLOAD_MS = 10_000;
const PROBE_MS = 250;

/** The id of the task's newest checkpoint, waited for. */
export async function untilCheckpoint({ store }: Demo, taskId: string, signal: AbortSignal): Promise<string> {
  const deadline = Date.now() + CHECKPOINT_MS;
  for (;;) {
    const [newest] = await listSnapshots(store, taskId);
    if (newest) return newest.id;
    if (Date.now() > deadline)
      throw new TaskError('Unavailable', `Task ${taskId} has no checkpoint after ${CHECKPOINT_MS / 1_000} s`);
    await delay(PROBE_MS, undefined, { signal });
  }
}

/** The epoch of the lease of a seed; null: there is none. */
export async function epochOf({ store }: Demo, seedId: string | null): Promise<number | null> {
  const _id = objectIdOf(seedId ?? '');
  const seed = _id && (await seedsOf(store).findOne({ _id }));
  return seed?.leaseEpoch ?? null;
}

/** The text of a file of the task's workdir. @throws TaskError `NotFound` when the listener does not give it */
export async function download(task: TaskHandle, path: string): Promise<string> {
  const { url, password } = await task.listener();
  const response = await fetch(`${url}/download?path=${encodeURIComponent(path)}`, {
    headers: { authorization: basicAuthorization(password) },
    signal: timeLimit(DOWNLOAD_MS),
  });
  if (response.ok) return response.text();
  throw new TaskError('NotFound', `${url} has no ${path}: it answered ${response.status}`);
}

/** Says each state that the task comes to, until stopped. */
export function tellStates(
  task: TaskHandle,
  say: (text: string) => void,
  signal: AbortSignal,
): { stop(): Promise<void> } {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const tell = async () => {
    for (let last = ''; !either.aborted;) {
      // Without a worker nobody knows.
      const state = await task.status().then(
        (status) => status.state,
        () => last,
      );
      if (state !== last && !either.aborted) say(`task ${task.taskId}: ${state}`);
      last = state;
      await pause(PROBE_MS, either);
    }
  };
  const telling = tell();
  return {
    async stop() {
      over.abort();
      await telling;
    },
  };
}
