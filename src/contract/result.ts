import type { TokenUsage } from './status.js';

export interface CodexTaskResult<Output = unknown> {
  taskId: string;
  threadId: string | null;
  outcome: Outcome;
  finalMessage: string | null;
  finalMessageTruncated?: true;
  /** What the last turn answered, where it was given an `outputSchema` and was completed. */
  output?: Output;
  /** It fits, and is larger than a result may have (256 KiB). */
  outputOmitted?: true;
  /** Completed turns. */
  turns: number;
  usage: TokenUsage;
  snapshotId?: string;
  capturedSeedId?: string;
  deliverables: Deliverable[];
  /** Files that were delivered beyond what the list may hold (96 KiB); the hook had them too. */
  deliverablesOmitted?: number;
}

export type Outcome = 'completed' | 'interrupted' | 'closed';

export interface Deliverable {
  path: string;
  bytes: number;
  sha256: string;
  contentType: string;
}
