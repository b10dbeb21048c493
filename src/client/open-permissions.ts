import type { PermissionDecision, PermissionRequest, TaskStatus } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { pause } from '../async/pause.js';

/** What a decision may say besides its answer. */
export type DecisionDetails = Omit<PermissionDecision, 'requestId' | 'behavior' | 'message'>;

/** A request of Codex that waits for a decision, with the means to give it. */
export interface OpenPermission extends PermissionRequest {
  /**
   * Allows it.
   * @returns whether this decision counts; false: it was decided, or Codex took it back, meanwhile
   * @throws TaskError `BadInput` when the decision lacks what the request asks for
   */
  allow(details?: DecisionDetails): Promise<boolean>;
  /** Denies it. @param message told to the model. @returns as `allow` does */
  deny(message?: string, details?: DecisionDetails): Promise<boolean>;
}

export interface PermissionOptions {
  /** Ends the requests without an error. */
  signal?: AbortSignal | undefined;
  /** Between two looks at the task. Milliseconds; default: 1,000. */
  pollMs?: number | undefined;
}

/** The task whose requests are followed. */
export interface PermissionSource {
  status(): Promise<TaskStatus>;
  decide(decision: PermissionDecision): Promise<unknown>;
  /** Whether its workflow has ended. */
  hasEnded(): Promise<boolean>;
}

const POLL_MS = 1_000;

/**
 * Each request of a task once, as it opens, until the task ends; those that are open already come first. A task without
 * a worker just now is asked again.
 * @throws TaskError `NotFound` when there is no such task
 */
export async function* openPermissions(
  task: PermissionSource,
  { signal = new AbortController().signal, pollMs = POLL_MS }: PermissionOptions = {},
): AsyncGenerator<OpenPermission> {
  if (!(pollMs > 0))
    throw new TaskError('BadInput', `pollMs: expected more than 0 milliseconds, got ${pollMs}`);
  const given = new Set<string>();
  while (!signal.aborted) {
    const pending = await pendingOf(task);
    for (const request of pending) {
      if (signal.aborted) return;
      if (given.has(request.requestId)) continue;
      given.add(request.requestId);
      yield openPermission(task, request);
    }
    if (await hasEnded(task)) return;
    await pause(pollMs, signal);
  }
}

function openPermission(task: PermissionSource, request: PermissionRequest): OpenPermission {
  const { requestId } = request;
  const decide = async (decision: PermissionDecision): Promise<boolean> => {
    try {
      await task.decide(decision);
      return true;
    } catch (error) {
      if (!(error instanceof TaskError)) throw error;
      // The task has ended.
      if (error.code === 'NotFound') return false;
      // A refusal of a request that still waits is about what the decision says.
      if (error.code !== 'BadInput' || (await isOpen(task, requestId))) throw error;
      return false;
    }
  };
  return {
    ...request,
    allow: (details = {}) => decide({ ...details, requestId, behavior: 'allow' }),
    deny: (message, details = {}) =>
      decide({ ...details, requestId, behavior: 'deny', ...(message !== undefined && { message }) }),
  };
}

const isOpen = async (task: PermissionSource, requestId: string): Promise<boolean> =>
  (await task.status()).pending.some((each) => each.requestId === requestId);

const unlessAway = <T>(answer: Promise<T>, otherwise: T): Promise<T> =>
  answer.catch((error: unknown) => {
    if (error instanceof TaskError && error.code === 'Unavailable') return otherwise;
    throw error;
  });

const pendingOf = (task: PermissionSource): Promise<readonly PermissionRequest[]> =>
  unlessAway(
    task.status().then(({ pending }) => pending),
    [],
  );

const hasEnded = (task: PermissionSource): Promise<boolean> => unlessAway(task.hasEnded(), false);
