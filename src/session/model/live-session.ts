import type { TaskRef } from '../../contract/activities.js';
import type { Thread } from '../conversation/thread.js';
import type { ProcessRecord } from '../../task-folder/process-record.js';
import type { WorkflowLink } from '../conversation/workflow-link.js';
import type { AgentChannel } from './agent-channel.js';

/** A task whose codex runs and is connected. */
export interface LiveSession {
  readonly ref: TaskRef;
  readonly thread: Thread;
  readonly channel: AgentChannel;
  readonly link: WorkflowLink;
  readonly record: ProcessRecord;
  /** What there is to say of it, its end included. */
  readonly warnings: string[];
  /** From here on clients may read, not act. */
  closed: boolean;
  /** Resolves when the connection to codex is over though nobody here ended it; never otherwise. */
  readonly lost: Promise<Loss>;
  /** Resolves when another session took the place of this one; never otherwise. */
  readonly left: Promise<void>;
  /**
   * Stops codex gently; resolves when it and all it started are gone. Idempotent. `atOnce`: without making sure
   * first that no refresh of its tokens is in flight, which makes one more.
   */
  stop(options?: { atOnce?: boolean }): Promise<void>;
  /** Lets go of codex, which runs on or is gone: another session goes on with the task. */
  leave(options: { isGone: boolean }): void;
}

/** What became of a codex whose connection is over. */
export interface Loss {
  readonly isAlive: boolean;
  /** How it ended, with its last line, without secrets. */
  readonly reason: string;
}
