import { mkdir } from 'node:fs/promises';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { HostContext } from '../../src/session/model/host-context.js';
import { openAccount } from '../../src/session/account/task-account.js';
import { openRecords } from '../../src/session/task/open-records.js';
import type { PreparedTask } from '../../src/session/model/prepared-task.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import type { PreviousHost } from '../../src/contract/activities.js';
import type { Store } from '../../src/store/mongo.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { testFolder } from '../support/folders.js';

export const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
export const MOVED: PreviousHost = { from: 'h1', generation: 1, lastEventId: 0, requests: [] };

export type TaskOn = [moved?: PreviousHost | null, input?: object];

/** A task on a host of its own; `open` opens its records. */
export async function taskOnHost(store: Store, ...[moved = null, input = {}]: TaskOn) {
  const dataDir = await testFolder();
  const hostLease = { isHeld: () => true, whenHeld: () => Promise.resolve(), isToEvict: () => false };
  const host = {
    config: { dataDir, journalBytes: null, commandEnv: [], minFreeBytes: 1 },
    store,
    hostId: 'h1',
    log: pino({ enabled: false }),
    hostLease,
  } as unknown as HostContext;
  const folder = taskFolder(dataDir, 't1');
  for (const path of [folder.work, folder.codexHome, folder.journal]) await mkdir(path, { recursive: true });
  const spec = parseTaskInput({ snapshot: { checkpoint: 'turn' }, mode: 'conversation', ...input }, 't1');
  const open = async (lostUpTo: number | null = null) => {
    const records = await openRecords(host, { ref: REF, moved }, folder, lostUpTo);
    onTestFinished(async () => {
      await records.journal.close();
      await records.ledger.close();
    });
    const rest = { account: openAccount(null), threadId: null, warnings: [], recalled: null };
    return { ref: REF, spec, lease: null, folder, moved, ...records, ...rest } satisfies PreparedTask;
  };
  return { host, folder, spec, open, hostLease };
}
