import { expect, it, onTestFinished } from 'vitest';
import { isClosed } from '../../src/journal/is-closed.js';
import { openJournal } from '../../src/journal/open-journal.js';
import { testFolder } from '../support/folders.js';

/** A journal with these events. */
async function journalWith(...events: object[]) {
  const journal = await openJournal(await testFolder());
  onTestFinished(() => journal.close());
  for (const event of events) journal.append(JSON.stringify(event));
  await journal.flushed();
  return journal;
}

it('a journal is closed by its newest event, whatever the order of its keys', async () => {
  const closed = { reason: 'closed', outcome: 'closed', type: 'x-optio-closed' };
  expect(await isClosed(await journalWith({ type: 'x-optio-unparked' }, closed))).toBe(true);
});

it('a journal is open while empty, after other events, or when an event quotes the last', async () => {
  expect(await isClosed(await journalWith())).toBe(false);
  const closed = { type: 'x-optio-closed', reason: 'closed', outcome: 'closed' };
  expect(await isClosed(await journalWith(closed, { type: 'x-optio-unparked' }))).toBe(false);
  const naming = { type: 'x-optio-warning', message: '{"type":"x-optio-closed"}' };
  expect(await isClosed(await journalWith(naming))).toBe(false);
});
