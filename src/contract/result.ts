import type { TokenUsage } from './status.js';

export interface CodexTaskResult {
  taskId: string;
  threadId: string | null;
  outcome: Outcome;
  finalMessage: string | null;
  finalMessageTruncated?: true;
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
