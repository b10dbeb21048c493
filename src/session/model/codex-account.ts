import type { CodexCalls } from '../conversation/codex-calls.js';

/** Stands between a thread and Codex, so that nothing cuts off a refresh of the account's tokens. */
export interface CodexAccount {
  /** Codex as the thread calls it: a turn begins with tokens that last, an interrupt waits for a refresh. */
  readonly codex: CodexCalls;
  /** A refresh may be in flight. */
  readonly mayRefresh: boolean;
  /** A turn of unknown beginning runs on this connection. */
  assumeTurn(threadId: string): void;
  /** Takes each notification of Codex, in wire order; `pass` passes it on, at once or after its meaning is known. */
  seen(method: string, params: unknown, pass: () => void): void;
  /** Resolves when no refresh is in flight, after 15 s at the latest, and at once when none can be. */
  barrier(): Promise<void>;
  /** The lease is lost: another holder uses these tokens, so Codex must not refresh them. */
  giveUp(): void;
  /** Codex ended without a stop. */
  codexDied(): void;
}
