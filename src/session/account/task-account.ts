import type { CredentialState, TaskRef } from '../../contract/activities.js';
import type { HostContext } from '../model/host-context.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { appendEvent } from '../../journal/append-event.js';

/** Something that may cost an account, as it is told in the stream and in `state`. */
export interface AccountFault {
  /**
   * `quarantined`: the credential could not go into its seed; `dead`: it is refused for good; `unwritable`: codex
   * cannot keep what it refreshes; `foreign`: auth.json was changed by another than codex; `refresh-lost`: codex
   * ended while it may have been refreshing.
   */
  kind: 'quarantined' | 'dead' | 'unwritable' | 'foreign' | 'refresh-lost';
  message: string;
  quarantineId?: string;
}

/** What is known of a task's account beside its file. */
export interface TaskAccount extends CredentialState {
  /** The account that the seed is for, as its auth.json names it; null: it names none; undefined: not read yet. */
  accountId: string | null | undefined;
  /** Milliseconds of the clock since when auth.json is no credential; null: it is one. */
  invalidSince: number | null;
  /** Why the seed counts as dead; null: it does not. */
  dead: string | null;
  /** Its document says so. */
  isMarked: boolean;
}

const accounts = new WeakMap<TaskRef, TaskAccount>();

/**
 * One for each task in each worker, whatever becomes of its codex there; what an earlier worker knew is in the
 * database.
 */
export function accountOf({ ref }: PreparedTask): TaskAccount {
  let account = accounts.get(ref);
  if (!account) {
    account = {
      warnings: [],
      quarantineId: null,
      accountId: undefined,
      invalidSince: null,
      dead: null,
      isMarked: false,
    };
    accounts.set(ref, account);
  }
  return account;
}

/** Says a fault once: in the log, in the task's stream and, as far as its workflow can still be told, in `state`. */
export function reportFault(host: HostContext, task: PreparedTask, fault: AccountFault): void {
  const account = accountOf(task);
  if (account.warnings.includes(fault.message)) return;
  account.warnings.push(fault.message);
  if (fault.quarantineId !== undefined) account.quarantineId = fault.quarantineId;
  const { taskId } = task.ref;
  host.log.error({ taskId, seedId: task.lease?.seedId, ...fault }, `credential.${fault.kind}`);
  if (!task.journal.ended) appendEvent(task.journal, { type: 'x-optio-credential', ...fault });
  const here = host.tasks.find(taskId);
  if (here?.is !== 'live' || here.ref.assignmentId !== task.ref.assignmentId) return;
  const { conversation, link } = here.session;
  link.sessionChanged({ ...conversation.report(), ...stateOf(account) });
}

/** What the workflow is told. */
export const stateOf = ({ warnings, quarantineId }: TaskAccount): CredentialState => ({
  warnings: [...warnings],
  quarantineId,
});
