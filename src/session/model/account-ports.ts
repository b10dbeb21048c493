import type { CredentialState, TaskRef } from '../../contract/activities.js';
import type { Log } from '../../log.js';
import type { Store } from '../../store/mongo.js';
import type { AccountCounts } from './account-counts.js';

/** What it takes to ask whose a seed is, and to keep its lease. */
export interface LeasePorts {
  readonly store: Store;
  readonly log: Log;
  readonly config: { readonly dataDir: string };
  /** Milliseconds a lease lives without renewal. */
  readonly leaseTtlMs: number;
  readonly tasks: LeaseTurns;
}

export interface LeaseTurns {
  /** Aborts when the worker goes without its tasks. */
  readonly detached: AbortSignal;
  /** Runs `act` after what was begun before under this name. */
  inTurn<T>(name: string, act: () => Promise<T>): Promise<T>;
}

/** What it takes to keep the account of a task: this room is given these and knows neither the host nor its tasks. */
export interface AccountPorts extends LeasePorts {
  readonly hostId: string;
  readonly accounts: AccountCounts;
  readonly tasks: AccountTurns;
}

export interface AccountTurns extends LeaseTurns {
  /** Names this start of the worker among all that come to its data folder. */
  readonly startId: string;
  /** Tells the workflow of a task that has a session here; others hear with their next step. */
  tellAccount(ref: TaskRef, state: CredentialState): void;
}

/** What it takes to refresh a seed's tokens for a codex that has none of its own. */
export interface TokenPorts extends LeasePorts {
  /** The worker's environment, which may name another place to refresh. */
  readonly env: NodeJS.ProcessEnv;
}
