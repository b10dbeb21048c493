import type { CredentialState } from '../../contract/activities.js';
import type { HostTokens } from './access-tokens.js';

/**
 * What is known of a task's account beside its file: one for each seed that the task has in each worker, whatever
 * becomes of its codex there. What an earlier worker knew is in the database.
 */
export interface TaskAccount extends CredentialState {
  /** SHA-256 of the auth.json that the database has too; null: none. */
  savedAuth: string | null;
  /** Where codex has no credential of its own: what keeps it in access tokens, once it is connected. */
  tokens: HostTokens | null;
  /** The account that the seed is for, as its auth.json names it; null: it names none; undefined: not read yet. */
  accountId: string | null | undefined;
  /** Milliseconds of the clock since when auth.json is no credential; null: it is one. */
  invalidSince: number | null;
  /** Why the seed counts as dead; null: it does not. */
  dead: string | null;
  /** Its document says so. */
  isMarked: boolean;
}
