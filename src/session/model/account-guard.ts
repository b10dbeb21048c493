import type { CodexCalls } from '../conversation/codex-calls.js';

/** Stands between a thread and codex, so that nothing cuts a refresh of the account's tokens short. */
export interface AccountGuard {
  /** Codex as the thread calls it: a turn begins with tokens that last, an interrupt waits for a refresh. */
  readonly codex: CodexCalls;
  /** A refresh may be in flight. */
  readonly mayRefresh: boolean;
  /** A turn runs of whose beginning this connection has heard nothing. */
  assumeTurn(threadId: string): void;
  /** Takes each notification of codex, in wire order; `pass` hands it on, at once or after what it means is known. */
  seen(method: string, params: unknown, pass: () => void): void;
  /** Resolves when no refresh is in flight any more, at the latest after 15 s. At once when none can be. */
  barrier(): Promise<void>;
  /** The lease is lost: another uses these tokens, so that codex must not be made to refresh them. */
  giveUp(): void;
  /** Codex is gone without having been stopped. */
  codexDied(): void;
}
