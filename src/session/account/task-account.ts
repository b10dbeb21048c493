import type { CredentialState } from '../../contract/activities.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import type { TaskAccount } from '../model/task-account.js';
import { appendEvent } from '../../journal/append-event.js';

/** A fault that may cost an account, as shown in the stream and in `state`. */
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

/** @param savedAuth SHA-256 of the auth.json of the task that the database has too; null: none */
export const openAccount = (savedAuth: string | null): TaskAccount => ({
  warnings: [],
  quarantineId: null,
  savedAuth,
  tokens: null,
  accountId: undefined,
  invalidSince: null,
  dead: null,
  isMarked: false,
});

/** The account of a task whose seed was released or changes. Reported faults stay reported. */
export const nextAccount = (
  { warnings, quarantineId }: TaskAccount,
  savedAuth: string | null,
): TaskAccount => ({ ...openAccount(savedAuth), warnings, quarantineId });

/** Reports a fault once: in the log, in the task's stream and, if its workflow still listens, in `state`. */
export function reportFault(host: AccountPorts, task: PreparedTask, fault: AccountFault): void {
  const { account } = task;
  if (account.warnings.includes(fault.message)) return;
  account.warnings.push(fault.message);
  if (fault.quarantineId !== undefined) account.quarantineId = fault.quarantineId;
  const { taskId } = task.ref;
  host.log.error({ taskId, seedId: task.lease?.seedId, ...fault }, `credential.${fault.kind}`);
  if (!task.journal.ended) appendEvent(task.journal, { type: 'x-optio-credential', ...fault });
  host.tasks.tellAccount(task.ref, credentialStateOf(account));
}

/** The text for the workflow. */
export const credentialStateOf = ({ warnings, quarantineId }: TaskAccount): CredentialState => ({
  warnings: [...warnings],
  quarantineId,
});
