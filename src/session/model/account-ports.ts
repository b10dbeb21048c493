import type { KeyedQueue } from '../../async/keyed-queue.js';
import type { CredentialState, TaskRef } from '../../contract/activities.js';
import type { Log } from '../../log.js';
import type { Store } from '../../store/mongo.js';
import type { AccountCounts } from './account-counts.js';

/** Needed to ask who holds a seed, and to keep its lease. */
export interface LeasePorts {
  readonly store: Store;
  readonly log: Log;
  readonly config: { readonly dataDir: string };
  /** Milliseconds a lease lives without renewal. */
  readonly leaseTtlMs: number;
  readonly tasks: LeaseTurns;
}

type Turns = Pick<KeyedQueue, 'run'>;

export interface LeaseTurns {
  /** Aborts when the worker stops without its tasks. */
  readonly detached: AbortSignal;
  /** One question about a task's lease at a time, by the task's id. */
  readonly leaseTurns: Turns;
  /** One save of a task's credential at a time, by the task's id. */
  readonly saveTurns: Turns;
}

/** Needed to keep the account of a task: these modules get it and know neither the host nor its tasks. */
export interface AccountPorts extends LeasePorts {
  readonly hostId: string;
  readonly accounts: AccountCounts;
  readonly tasks: AccountTurns;
}

export interface AccountTurns extends LeaseTurns {
  /** Names this start of the worker among all starts on its data folder. */
  readonly startId: string;
  /** Tells the workflow of a task with a session here; others get it with their next activity. */
  tellAccount(ref: TaskRef, state: CredentialState): void;
}

/** Needed to refresh a seed's tokens for a Codex without a refresh token. */
export interface TokenPorts extends LeasePorts {
  /** The worker's environment, which may name another place to refresh. */
  readonly env: NodeJS.ProcessEnv;
}
