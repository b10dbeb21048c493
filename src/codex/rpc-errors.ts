/** What codex answered instead of a result. */
export class RpcError extends Error {
  override readonly name = 'RpcError';

  constructor(
    readonly method: string,
    readonly code: number,
    message: string,
    readonly data?: unknown,
  ) {
    super(`codex refused ${method}: ${message} (${code})`);
  }

  static from(method: string, error: Record<string, unknown>): RpcError {
    const { code, message, data } = error;
    return new RpcError(
      method,
      typeof code === 'number' ? code : 0,
      typeof message === 'string' ? message : JSON.stringify(error),
      data,
    );
  }
}

/** Codex gave no answer in time; it may still act on the call. */
export class RpcTimeout extends Error {
  override readonly name = 'RpcTimeout';

  constructor(
    readonly method: string,
    /** Milliseconds. */
    readonly timeoutMs: number,
  ) {
    super(`codex did not answer ${method} within ${timeoutMs} ms`);
  }
}

/** The connection ended, or was over already; a call that was in flight may have been acted on. */
export class RpcClosed extends Error {
  override readonly name = 'RpcClosed';

  constructor(readonly reason: string) {
    super(`connection to codex is closed: ${reason}`);
  }
}
