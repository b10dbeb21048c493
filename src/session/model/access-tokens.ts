import type { RequestId } from '../../codex/protocol.js';
import type { Rpc } from '../../codex/rpc.js';
import { type TaskError } from '../../errors.js';

/** The account of a task whose refresh token stays in this process: codex has access tokens only, in memory. */
export interface HostTokens {
  /** Logs a new codex in. @throws TaskError `CredentialDead`, `NoCredential`, `Unavailable` */
  login(rpc: Rpc): Promise<void>;
  /**
   * Answers codex when it asks for a new access token; false: it asks for something else. `fail` hears when the
   * account, or the right to it, is lost.
   */
  answer(rpc: Rpc, request: CodexRequest, fail: (error: TaskError) => void): boolean;
  /**
   * Resolves when no refresh is under way: what was rotated is in the database then. After 7 s at the latest, for
   * a database that is away must not keep a worker from ending.
   */
  settled(): Promise<void>;
}

/** A request of codex as it came. */
export interface CodexRequest {
  id: RequestId;
  method: string;
  params: unknown;
}
