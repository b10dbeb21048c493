import type { GateOptions } from './gate-options.js';

/** The part of the connection to codex that a conversation needs. */
export interface CodexCalls {
  call(method: string, params: unknown, options: { timeoutMs: number }): Promise<unknown>;
  respond: GateOptions['answers']['respond'];
  respondError: GateOptions['answers']['respondError'];
}
