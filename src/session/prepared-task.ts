import type { LeaseRef, Moved, TaskRef } from '../step-arguments.js';
import type { TaskSpec } from '../task-input.js';
import type { HostTokens } from './account/host-tokens.js';
import type { Inbox } from './records/inbox.js';
import type { Journal } from './records/journal.js';
import type { Ledger } from './records/ledger.js';
import type { RecalledEvents } from './records/recall-events.js';
import type { TaskFolder } from './records/task-folder.js';

/** A task whose folder is ready for codex. */
export interface PreparedTask {
  readonly ref: TaskRef;
  readonly spec: TaskSpec;
  readonly lease: LeaseRef | null;
  readonly folder: TaskFolder;
  readonly journal: Journal;
  readonly ledger: Ledger;
  /** Takes messages until the session does. */
  readonly inbox: Inbox;
  /** Messages that codex has in its thread and no checkpoint has yet. */
  readonly arrived: Set<string>;
  /** The host before; null: this is the first. */
  readonly moved: Moved | null;
  /** The thread to go on with; null: a new one. */
  readonly threadId: string | null;
  readonly warnings: readonly string[];
  /** What an earlier worker wrote of it; null: it is new here. */
  readonly recalled: RecalledEvents | null;
  /** SHA-256 of the auth.json that the database has too; null: none. */
  savedAuth: string | null;
  /** Where codex has no credential of its own: what keeps it in access tokens, once it is connected. */
  tokens?: HostTokens;
}
