import type { TaskRef } from '../../contract/activities.js';
import type { Thread } from '../conversation/thread.js';
import type { ProcessRecord } from '../../task-folder/process-record.js';
import type { WorkflowLink } from '../conversation/workflow-link.js';
import type { AgentChannel } from './agent-channel.js';

/** A task whose Codex runs and is connected. */
export interface LiveSession {
  readonly ref: TaskRef;
  readonly thread: Thread;
  readonly channel: AgentChannel;
  readonly link: WorkflowLink;
  readonly record: ProcessRecord;
  /** Reports of it, its end included. */
  readonly warnings: string[];
  /** From here on clients may read, not act. */
  closed: boolean;
  /** Resolves when the connection to Codex ends though nobody here ended it; never otherwise. */
  readonly lost: Promise<Loss>;
  /** Resolves when another session took the place of this one; never otherwise. */
  readonly superseded: Promise<void>;
  /**
   * Stops Codex gently; resolves when it and all it started are gone. Idempotent. `atOnce`: without first checking
   * for a refresh in flight, which makes one more.
   */
  stop(options?: { atOnce?: boolean }): Promise<void>;
  /** Detaches from Codex, which runs on or is gone: another session continues the task. */
  leave(options: { isGone: boolean }): void;
}

/** Outcome of a Codex whose connection is over. */
export interface Loss {
  readonly isAlive: boolean;
  /** How it ended, with its last line, without secrets. */
  readonly reason: string;
}
