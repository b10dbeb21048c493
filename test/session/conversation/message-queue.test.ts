import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openLedger } from '../../../src/task-folder/ledger.js';
import { MessageQueue } from '../../../src/session/conversation/message-queue.js';
import { testFolder } from '../../support/folders.js';

async function open(path: string) {
  const ledger = await openLedger(path);
  onTestFinished(() => ledger.close().catch(() => undefined));
  return { ledger, queue: new MessageQueue(ledger) };
}
const message = (messageId: string) => ({ messageId, text: `text of ${messageId}` });

test('written but unsent messages wait again after a restart, confirmed ones do not', async () => {
  const path = join(await testFolder(), 'ledger');
  const first = await open(path);
  for (const id of ['a', 'b', 'c', 'd', 'e']) first.queue.push((await first.queue.take(message(id)))!);
  for (const id of ['a', 'b', 'c']) await first.ledger.write({ t: 'turn', messageId: id });
  await first.ledger.write({ t: 'accepted', messageId: 'a' });
  await first.ledger.close();
  await appendFile(path, '{"t":"message","message":{"messageId":"torn');

  const { queue } = await open(path);
  expect(queue.undecidedIds).toEqual(['b', 'c']);
  expect(queue.ids).toEqual(['b', 'c', 'd', 'e']);
  expect(queue.size).toBe(2);
  queue.decide((id) => id === 'b');
  expect(queue.ids).toEqual(['c', 'd', 'e']);
  for (const id of ['a', 'b', 'c', 'd', 'e']) expect(await queue.take(message(id))).toBeNull();
  expect([queue.shift(), queue.shift()]).toEqual([message('c'), message('d')]);
});

test('a message is accepted once it is written, and not at all when that fails', async () => {
  const writes: { done: () => void; fail: (error: Error) => void }[] = [];
  const write = () => new Promise<void>((done, fail) => void writes.push({ done, fail }));
  const queue = new MessageQueue({ past: [], write } as unknown as ConstructorParameters<
    typeof MessageQueue
  >[0]);
  const settled: string[] = [];
  const take = async (name: string) =>
    queue.take(message('a')).then(
      (taken) => settled.push(`${name} ${taken ? 'taken' : 'known'}`),
      () => settled.push(`${name} refused`),
    );
  const both = [take('first'), take('again')];
  await new Promise((resolve) => setImmediate(resolve));
  expect(settled).toEqual([]);
  writes[0]!.fail(new Error('ENOSPC'));
  await Promise.all(both);
  expect(settled.sort()).toEqual(['again refused', 'first refused']);
  const later = take('later');
  writes[1]!.done();
  await later;
  expect(settled.at(-1)).toBe('later taken');
});

test('a message that Codex turns out to have is not sent again', async () => {
  const { queue } = await open(join(await testFolder(), 'ledger'));
  for (const id of ['a', 'b']) queue.push((await queue.take(message(id)))!);
  queue.arrived('a');
  expect(queue.ids).toEqual(['b']);
});

test('a message to repeat waits once and first, after a restart too', async () => {
  const path = join(await testFolder(), 'ledger');
  const first = await open(path);
  for (const id of ['a', 'b']) first.queue.push((await first.queue.take(message(id)))!);
  await first.ledger.write({ t: 'turn', messageId: 'a' });
  await first.ledger.write({ t: 'accepted', messageId: 'a' });
  await first.ledger.close();
  const second = await open(path);
  await second.queue.again('u', ['a']);
  expect(second.queue.ids).toEqual(['a', 'b']);
  await second.ledger.close();
  const third = await open(path);
  await third.queue.again('u', ['a']);
  expect(third.queue.ids).toEqual(['a', 'b']);
  expect(third.queue.shift()).toEqual(message('a'));
});

test('the newest 1,000 ids and those of waiting messages are remembered', async () => {
  const { queue } = await open(join(await testFolder(), 'ledger'));
  queue.push((await queue.take(message('waits')))!);
  for (let i = 0; i < 1_001; i++) {
    await queue.take(message(`m${i}`));
    queue.arrived(`m${i}`);
  }
  expect(await queue.take(message('waits'))).toBeNull();
  expect(await queue.take(message('m1'))).toBeNull();
  expect(await queue.take(message('m0'))).not.toBeNull();
});

test('text and id are well-formed Unicode', async () => {
  const { queue } = await open(join(await testFolder(), 'ledger'));
  expect(await queue.take({ messageId: 'a\ud800', text: 'b\udc00' })).toEqual({
    messageId: 'a\ufffd',
    text: 'b\ufffd',
  });
});
