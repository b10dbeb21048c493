import type { PreparedTask } from '../../src/session/model/prepared-task.js';
import { openAccount } from '../../src/session/account/task-account.js';
import { openInbox } from '../../src/session/conversation/inbox.js';

type Given = Pick<PreparedTask, 'spec' | 'folder' | 'journal' | 'ledger'>;

/** A task `t1` that is new on its host and needs no account. */
export const preparedTask = (given: Given): PreparedTask => ({
  ref: { taskId: 't1', runId: 'r1', assignmentId: 's' },
  lease: null,
  inbox: openInbox(given.ledger),
  arrived: new Set(),
  moved: null,
  account: openAccount(null),
  threadId: null,
  warnings: [],
  recalled: null,
  ...given,
});
