import type { CallName, ClientCalls } from '../../codex/protocol.js';
import type { GateOptions } from './gate-options.js';

/** The part of the connection to codex that a thread needs. */
export interface CodexCalls {
  call<M extends CallName>(
    method: M,
    params: ClientCalls[M]['params'],
    options: { timeoutMs: number },
  ): Promise<ClientCalls[M]['result']>;
  respond: GateOptions['answers']['respond'];
  respondError: GateOptions['answers']['respondError'];
}
