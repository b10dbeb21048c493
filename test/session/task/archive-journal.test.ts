import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { archiveJournal } from '../../../src/session/task/archive-journal.js';
import type { LedgerRecord } from '../../../src/task-folder/ledger.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { testFolder } from '../../support/folders.js';
import { leaveFolder } from '../host/orphans-support.js';
import { opened, readAll } from '../../journal/filled-journal.js';

/** The events of a task that nobody runs any more, as its late readers get them. */
async function keptOf(ledger: LedgerRecord[], events: object[] = [{ n: 1 }]) {
  const dataDir = await testFolder();
  const folder = taskFolder(dataDir, 't1');
  await leaveFolder(
    folder,
    events.map((event) => JSON.stringify(event)),
  );
  await writeFile(folder.ledger, ledger.map((record) => `${JSON.stringify(record)}\n`).join(''));
  await archiveJournal(dataDir, folder, 'its workflow has ended');
  const kept = await readAll(await opened(join(dataDir, 'ended', 't1')));
  return kept.map(({ data }) => data);
}

const thread: LedgerRecord = { t: 'thread', threadId: 'T', model: null };
const message = (messageId: string): LedgerRecord => ({
  t: 'message',
  message: { messageId, text: `text of ${messageId}` },
});
const at = expect.any(Number) as number;
const closed = { type: 'x-optio-closed', reason: 'its workflow has ended', outcome: 'failed', at };

test('the last event names the messages that Codex never got, in order', async () => {
  const events = await keptOf([
    thread,
    message('had'),
    { t: 'turn', messageId: 'had' },
    { t: 'accepted', messageId: 'had' },
    message('begun'),
    { t: 'turn', messageId: 'begun' },
    message('waited'),
    message('waited too'),
  ]);
  expect(events.at(-1)).toEqual({ ...closed, dropped: ['begun', 'waited', 'waited too'] });
});

test('a message whose item is in the events does not count as dropped', async () => {
  const item = { id: 'i', type: 'userMessage', clientId: 'shown', content: [] };
  const events = await keptOf(
    [thread, message('shown'), { t: 'turn', messageId: 'shown' }],
    [{ method: 'item/completed', params: { threadId: 'T', turnId: 'u', item } }],
  );
  expect(events.at(-1)).toEqual(closed);
});

test('no message is named where none was dropped or the last event exists already', async () => {
  expect((await keptOf([thread])).at(-1)).toEqual(closed);
  const said = { type: 'x-optio-closed', reason: 'completed', outcome: 'completed' };
  expect(await keptOf([thread, message('late')], [said])).toEqual([said]);
});
