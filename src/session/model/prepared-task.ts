import type { LeaseRef, PreviousHost, TaskRef } from '../../contract/activities.js';
import type { Inbox } from '../conversation/inbox.js';
import type { Journal } from '../../journal/journal.js';
import type { Ledger } from '../../task-folder/ledger.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import type { RecalledEvents } from '../recall/recalled-events.js';
import type { TaskAccount } from './task-account.js';
import type { TaskSpec } from '../../contract/task-spec.js';

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
  /** Messages that Codex has in its thread and that no checkpoint includes yet. */
  readonly arrived: Set<string>;
  /** The host before; null: this is the first. */
  readonly moved: PreviousHost | null;
  /** The thread to continue; null: a new one. */
  readonly threadId: string | null;
  readonly warnings: readonly string[];
  /** Records of an earlier worker about it; null: it is new here. */
  readonly recalled: RecalledEvents | null;
  /** Shared by every copy of the task until its seed changes. */
  readonly account: TaskAccount;
}
