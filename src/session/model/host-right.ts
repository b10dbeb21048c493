/** The right of this host to run its tasks. */
export interface HostRight {
  /** Whether it holds now: by this machine's clocks, up to the instant at which the guard stops every codex here. */
  isHeld(): boolean;
  /** Resolves when it holds. @throws the signal's reason; TaskError `HostLost` when it never will again */
  whenHeld(signal: AbortSignal): Promise<void>;
  /** Whether this assignment is to be let go, and so not to be taken up. */
  isToEvict(assignmentId: string): boolean;
}
