import type { RequestId } from '../../codex/protocol.js';
import type { Rpc } from '../../codex/rpc.js';
import { type TaskError } from '../../errors.js';

/** The account of a task whose refresh token stays in this process: Codex has only access tokens, in memory. */
export interface HostTokens {
  /** Logs a new codex in. @throws TaskError `CredentialDead`, `NoCredential`, `Unavailable` */
  login(rpc: Rpc): Promise<void>;
  /**
   * Answers Codex when it asks for a new access token; false: it asks for something else. `fail` is called when the
   * account or its lease is lost.
   */
  answer(rpc: Rpc, request: AccountRequest, fail: (error: TaskError) => void): boolean;
  /**
   * Resolves when no refresh is in flight and rotated tokens are in the database. After 7 s at the latest, since an
   * unreachable database must not keep a worker from ending.
   */
  settled(): Promise<void>;
}

/** A request of codex as it came. */
export interface AccountRequest {
  id: RequestId;
  method: string;
  params: unknown;
}
