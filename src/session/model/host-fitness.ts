import type { Unfit } from '../../store/hosts.js';

/**
 * Whether this host can begin tasks. One that could not, for reasons that no task gives, takes no new task but one at a
 * time, with growing pauses, until it has begun one well; that survives its worker.
 */
export interface HostFitness {
  /** Why it is unfit; null: it is not. */
  readonly unfit: Unfit | null;
  /** Whether one more task may be claimed beside those that are just being claimed. */
  allows(reserved: number): boolean;
  /** Takes note of a task that is claimed now. False: it may not be. */
  admits(taskId: string): boolean;
  succeeded(step: FirstActivity): void;
  /** What the step is to fail with. */
  failed(step: FirstActivity, taskId: string, error: unknown): unknown;
}

/** The steps with which a task begins here. */
export type FirstActivity = Unfit['step'];
