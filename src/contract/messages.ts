import type { OutputSchema } from './output-schema.js';

export interface TaskMessage {
  /**
   * A message is accepted once by this id; the newest 1,000 are remembered. Not `prompt`, `kickoff` or `resumed`, and not
   * with `x-optio-`, `answer-` or `refused-` before it: these are the host's own.
   */
  messageId: string;
  text: string;
  /** Joins the running turn instead of waiting for its end. */
  steer?: boolean | undefined;
  /** Paths below `work`. */
  images?: { path: string }[];
  /** What the last message of its turn is to be, in place of the input's. */
  outputSchema?: OutputSchema;
}

/** Sets `model` or `reasoning_effort` for the next and every later turn. */
export interface ControlChange {
  id: string;
  value: unknown;
}
