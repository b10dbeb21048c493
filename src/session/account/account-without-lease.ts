import type { CodexCalls } from '../conversation/codex-calls.js';
import type { CodexAccount } from '../model/codex-account.js';

/** Guard of a task without a leased seed. */
export const accountWithoutLease = (codex: CodexCalls): CodexAccount => ({
  codex,
  mayRefresh: false,
  assumeTurn: () => undefined,
  seen: (_method, _params, pass) => pass(),
  barrier: () => Promise.resolve(),
  giveUp: () => undefined,
  codexDied: () => undefined,
});
