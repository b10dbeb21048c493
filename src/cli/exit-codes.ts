import { HostSuperseded, TaskError } from '../errors.js';

/** What the process's exit code says. */
export const EXIT = {
  ok: 0,
  /** The task or the command failed. */
  failed: 1,
  /** Wrong usage, input or settings. */
  usage: 2,
  /** No such task, request or snapshot. */
  notFound: 3,
  /** Temporal, MongoDB or a listener is out of reach. */
  unavailable: 4,
  /** Another worker runs this one's host: starting it again would only take that away from the other. */
  superseded: 5,
  /** Stopped by SIGINT or SIGTERM before it was done. */
  interrupted: 130,
} as const;

/** The reason with which a signal aborts a command. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(readonly signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
  }
}

/** The exit code of anything a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return EXIT.interrupted;
  if (error instanceof HostSuperseded) return EXIT.superseded;
  if (!(error instanceof TaskError)) return EXIT.failed;
  switch (error.code) {
    case 'BadInput':
      return EXIT.usage;
    case 'NotFound':
    case 'SessionNotHere':
    case 'SnapshotUnreadable':
      return EXIT.notFound;
    case 'Unavailable':
      return EXIT.unavailable;
    default:
      return EXIT.failed;
  }
}
