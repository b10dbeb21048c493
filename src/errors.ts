/** Every way in which a task, a command or the worker can fail, and whether trying again can help. */
export const ERROR_CODES = {
  BadInput: { retryable: false },
  NoCredential: { retryable: false },
  CredentialDead: { retryable: false },
  LeaseLost: { retryable: false },
  LeaseRefused: { retryable: false },
  ClaimLapsed: { retryable: false },
  HostLost: { retryable: false },
  HostDetached: { retryable: false },
  HostUnfit: { retryable: false },
  SessionNotHere: { retryable: false },
  CodexFailed: { retryable: false },
  BadOutput: { retryable: false },
  HookFailed: { retryable: false },
  TurnTimedOut: { retryable: false },
  TaskTimedOut: { retryable: false },
  Cancelled: { retryable: false },
  NotFound: { retryable: false },
  SnapshotUnreadable: { retryable: false },
  Unavailable: { retryable: true },
} as const;

/** What a query of a task's workflow fails with that came between two workflow tasks: it is to be asked again. */
export const ASK_AGAIN = 'asked between two workflow tasks: ask again';

/** What a workflow task fails with, once, before which another may never have been answered; so does a query with its history. */
export const BEGINS_AGAIN = 'Nobody answered the workflow task before this one, which begins again';

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * The one error of this project. `message` says what failed, on what and what to do, and never holds a
 * secret; `code` becomes the `type` of the Temporal failure.
 */
export class TaskError extends Error {
  override readonly name = 'TaskError';
  /** More of it for programs; of a task that failed with `BadOutput` the `BadOutputDetails`. */
  readonly details: unknown;

  constructor(
    readonly code: ErrorCode,
    message: string,
    { details, ...options }: { cause?: unknown; details?: unknown } = {},
  ) {
    super(message, options);
    this.details = details;
  }
}

/** Another worker runs this host from a copy of its data folder: this one has nothing to do any more. */
export class HostSuperseded extends TaskError {
  constructor(hostId: string) {
    const cause = 'two data folders hold this host-id';
    super(
      'HostLost',
      `Another worker took over host ${hostId} (${cause}): end one, or remove host-id from its folder`,
    );
  }
}

/** The text of anything thrown, for messages and logs; of a text that is no JSON where, since it may hold a secret. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof SyntaxError) || !/\bJSON\b/.test(error.message)) return error.message;
  return `no JSON${/ at position \d+/.exec(error.message)?.[0] ?? ''}`;
}
