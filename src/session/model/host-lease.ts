/** The right of this host to run its tasks. */
export interface HostLease {
  /** Whether it is valid now: by this machine's clocks, until the guard stops every Codex here. */
  isHeld(): boolean;
  /**
   * Resolves when it is valid.
   * @throws the signal's reason; TaskError `HostLost` when it never will be again
   */
  whenHeld(signal: AbortSignal): Promise<void>;
  /** Whether this assignment has to be evicted, and so not adopted. */
  isToEvict(assignmentId: string): boolean;
}
