import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { TaskError } from '../../../src/errors.js';
import { closeTask } from '../../../src/session/task/end-task.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { openLedger } from '../../../src/task-folder/ledger.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { preparedTask } from '../../fakes/prepared-task.js';
import { testFolder } from '../../support/folders.js';
import { openJournal } from '../../../src/journal/open-journal.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };

test('a task whose Codex could not be restarted ends its turn before its last event', async () => {
  const dataDir = await testFolder();
  const folder = taskFolder(dataDir, 't1');
  await mkdir(folder.journal, { recursive: true });
  const journal = await openJournal(folder.journal);
  const ledger = await openLedger(folder.ledger);
  const turn = { id: 'u', status: 'inProgress', items: [] };
  journal.append(JSON.stringify({ method: 'turn/started', params: { threadId: 'T', turn } }));
  journal.append(JSON.stringify({ type: 'x-optio-recovering', reason: 'killed' }));
  await ledger.write({ t: 'thread', threadId: 'T', model: null });
  const tasks = new HostTasks(1);
  const log = pino({ enabled: false });
  // The database is out of reach: that keeps nobody from the end.
  const host = { config: { dataDir }, tasks, log, store: {} } as unknown as HostContext;
  tasks.set({
    kind: 'recovering',
    ref: REF,
    stopping: new AbortController(),
    prepared: preparedTask({ spec: parseTaskInput({}, 't1'), folder, journal, ledger }),
    mounted: true,
    failed: new TaskError('CodexFailed', 'codex ended 3 times in a row'),
  });
  await closeTask(host, { ref: REF, reason: 'CodexFailed', outcome: 'failed', keepWork: false });
  const kept = await openJournal(join(dataDir, 'ended', 't1'));
  const text = (await kept.read(0, 1e6))!.bytes.toString();
  await kept.close();
  expect([...text.matchAll(/data: (.*)/g)].map(([, json]) => JSON.parse(json!) as unknown)).toMatchObject([
    { method: 'turn/started' },
    { type: 'x-optio-recovering' },
    {
      method: 'turn/completed',
      params: { threadId: 'T', turn: { id: 'u', status: 'interrupted' } },
      'x-optio-cut': true,
    },
    { type: 'x-optio-closed', outcome: 'failed' },
  ]);
});
