import { expect, test } from 'vitest';
import { takeOver } from '../../../src/session/task/restore-task.js';
import { keptMessages } from '../../../src/store/task-state.js';
import { useStore } from '../../store/support.js';
import { MOVED, REF, taskOnHost } from '../task-on-host.js';
import { readLedger } from '../../../src/task-folder/ledger.js';
import { takenIn } from '../../../src/task-folder/taken-messages.js';

const use = useStore();
const outputSchema = { type: 'object', properties: {}, required: [], additionalProperties: false };

test('a message outlives its host with its schema, and a correction goes with the answer it is about', async () => {
  const first = await (await taskOnHost(use.store)).open();
  const message = { messageId: 'a', text: 'How many?', outputSchema };
  const correction = { messageId: 'x-optio-output-1-turn', text: 'Again', outputSchema };
  for (const each of [message, correction]) await first.ledger.write({ t: 'message', message: each });
  expect(await keptMessages(use.store, REF.runId)).toEqual([message]);
  const { host, open } = await taskOnHost(use.store, MOVED);
  const task = await open();
  await takeOver(host, REF, MOVED, task, null);
  expect(takenIn(await readLedger(task.folder.ledger)).ids).toEqual(['a']);
});
