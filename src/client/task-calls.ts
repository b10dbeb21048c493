import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { clientFailure, isAskedAgain } from './client-failure.js';

/** A task without a worker would keep a query waiting forever. */
const ANSWER_MS = 20_000;

/**
 * What Temporal answers about a task in time.
 * @param withinMs default: 20 s
 * @throws TaskError with what its failure means for the task
 */
export const askTemporal = <T>(
  client: Client,
  taskId: string,
  run: () => Promise<T>,
  withinMs = ANSWER_MS,
): Promise<T> => translated(taskId, () => client.withDeadline(Date.now() + withinMs, run));

/**
 * Until the workflow task has begun that a query came before, or the run is over that an update came to; doubled each
 * time, since each may make a worker play a whole history. Milliseconds.
 */
const ASK_PAUSE_MS = 100;
const MAX_ASK_PAUSE_MS = 2_000;

const repeated = new AsyncLocalStorage<true>();

/** Whether what runs is run again where it fails at the wrong moment. */
export const isRepeated = (): boolean => repeated.getStore() === true;

/**
 * Runs it again for as long as only the moment was wrong, up to `ANSWER_MS`.
 * @param beforeNext throws when nobody will take it any more
 * @param isAgain whether only the moment was wrong
 * @throws what it failed with otherwise
 */
export async function untilTaken<T>(
  run: () => Promise<T>,
  beforeNext: (error: unknown) => Promise<void> = () => Promise.resolve(),
  isAgain: (error: unknown) => boolean = isAskedAgain,
): Promise<T> {
  const deadline = performance.now() + ANSWER_MS;
  for (let pauseMs = ASK_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_ASK_PAUSE_MS)) {
    try {
      return await repeated.run(true, run);
    } catch (error) {
      if (!isAgain(error) || performance.now() > deadline) throw error;
      await beforeNext(error);
      await delay(pauseMs);
    }
  }
}

/** What it comes to. @throws TaskError with what its failure means for the task */
export async function translated<T>(taskId: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw clientFailure(error, taskId);
  }
}
