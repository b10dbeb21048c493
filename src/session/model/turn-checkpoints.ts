/** Runs after each turn, before the next one begins, so that another host can continue from here. */
export interface TurnCheckpoints {
  /** Never rejects; returns a warning when checkpoints fail, once until one succeeds. */
  take(): Promise<string | null>;
  /** Aborts the running checkpoint. */
  close(): void;
}
