import type { CodexCalls } from '../conversation/codex-calls.js';
import type { AccountGuard } from '../model/account-guard.js';

/** Guard of a task without a leased seed. */
export const unguarded = (codex: CodexCalls): AccountGuard => ({
  codex,
  mayRefresh: false,
  assumeTurn: () => undefined,
  seen: (_method, _params, pass) => pass(),
  barrier: () => Promise.resolve(),
  giveUp: () => undefined,
  codexDied: () => undefined,
});
