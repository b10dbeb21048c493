/** What is done after each turn, before the next one begins, so that another host can go on from here. */
export interface TurnCheckpoints {
  /** Never rejects; gives a warning when no checkpoint can be taken any more, once until one was. */
  take(): Promise<string | null>;
  /** Gives up the one that is under way. */
  close(): void;
}
