import type { CredentialState } from '../../contract/activities.js';
import type { HostTokens } from './access-tokens.js';

/**
 * State of a task's account besides its file: one for each seed that the task has in each worker, across restarts of
 * Codex. What an earlier worker knew is in the database.
 */
export interface TaskAccount extends CredentialState {
  /** SHA-256 of the auth.json that the database has too; null: none. */
  savedAuth: string | null;
  /** Supplies access tokens where Codex has no credential of its own, once it is connected. */
  tokens: HostTokens | null;
  /** The account of the seed, as its auth.json names it; null: it names none; undefined: not read yet. */
  accountId: string | null | undefined;
  /** Clock time since when auth.json is invalid, in milliseconds; null: it is valid. */
  invalidSince: number | null;
  /** Why the seed counts as dead; null: it does not. */
  dead: string | null;
  /** Its document has that status. */
  isMarked: boolean;
}
