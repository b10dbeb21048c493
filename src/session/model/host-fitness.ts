import type { Unfit } from '../../store/hosts.js';

/**
 * Whether this host can start tasks. After failures that no task causes it takes one task at a time, with growing
 * pauses, until it has started one; that survives its worker.
 */
export interface HostFitness {
  /** Why it is unfit; null: it is not. */
  readonly unfit: Unfit | null;
  /** Whether one more task may be claimed next to those being claimed. */
  allows(reserved: number): boolean;
  /** Notes a task that is claimed now. False: it may not be. */
  admits(taskId: string): boolean;
  succeeded(step: FirstActivity): void;
  /** The error for the activity. */
  failed(step: FirstActivity, taskId: string, error: unknown): unknown;
}

/** Activities with which a task starts here. */
export type FirstActivity = Unfit['step'];
