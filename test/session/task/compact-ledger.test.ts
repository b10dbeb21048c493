import { stat } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { openTurnCheckpoints } from '../../../src/session/task/turn-checkpoints.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { readLedger, type LedgerRecord } from '../../../src/task-folder/ledger.js';
import { MessageQueue } from '../../../src/session/conversation/message-queue.js';
import { lostEvents, restoreTask, takeOver } from '../../../src/session/task/restore-task.js';
import { keptMessages } from '../../../src/store/task-state.js';
import { useStore } from '../../store/support.js';
import { range } from '../../support/range.js';
import { MOVED, REF, taskOnHost } from '../task-on-host.js';
import { takenIn } from '../../../src/task-folder/taken-messages.js';

const use = useStore();
const MIB = 1024 * 1024;
const TEXT = 'x'.repeat(2_500);

/** What a turn with one message and one decision writes, behind what the agent's log says meanwhile. */
async function turn({ ledger, inbox }: PreparedTask, n: number): Promise<void> {
  const messageId = `message-${n}`;
  const position = { ino: 1, offset: n, skipping: false };
  await inbox.accept({ messageId, text: TEXT });
  await ledger.write({ t: 'turn', messageId });
  await ledger.write({ t: 'accepted', messageId });
  await ledger.write({ t: 'answered', decision: { requestId: `1-${n}`, behavior: 'allow' } });
  await ledger.write({ t: 'protocol', token: 't', line: n, position });
}

const sizeOf = async ({ folder }: PreparedTask): Promise<number> => (await stat(folder.ledger)).size;
const stateIn = (past: readonly LedgerRecord[]) => past.filter(({ t }) => t !== 'boot');
const takeEach = (host: HostContext, task: PreparedTask) => openTurnCheckpoints(host, task, 'thread');

test('the ledger of a task of very many turns stays small, even on the next host', async () => {
  const first = await taskOnHost(use.store);
  const task = await first.open();
  await task.inbox.accept({ messageId: 'prompt', text: 'begin' });
  await task.ledger.write({ t: 'accepted', messageId: 'prompt' });
  const checkpoints = takeEach(first.host, task);
  let [largest, n] = [0, 0];
  // Between two checkpoints many turns, for the sake of time.
  const turns = async (on: PreparedTask) => {
    await Promise.all(range(1, 60).map(() => turn(on, ++n)));
  };
  for (let many = 0; many < 24; many++) {
    await turns(task);
    expect(await checkpoints.take()).toBeNull();
    largest = Math.max(largest, await sizeOf(task));
  }
  // All of it would be 4 MiB.
  expect(largest).toBeLessThan(1.2 * MIB);
  await task.inbox.accept({ messageId: 'waits', text: TEXT });
  await checkpoints.take();

  const other = await taskOnHost(use.store, MOVED);
  await restoreTask(other.host, REF, other.spec, other.folder);
  const lostUpTo = await lostEvents(other.host, REF, other.spec, MOVED);
  const restored = await other.open(lostUpTo);
  expect(stateIn(restored.ledger.past)).toEqual(stateIn(await readLedger(first.folder.ledger)));
  expect(await sizeOf(restored)).toBeLessThan(1.2 * MIB);
  const queue = new MessageQueue(restored.ledger);
  expect(queue.shift()).toEqual({ messageId: 'waits', text: TEXT });
  expect(queue.size).toBe(0);
  for (const each of [n, n - 1, n - 900])
    expect(takenIn(restored.ledger.past).ids).toContain(`message-${each}`);
  expect(takenIn(restored.ledger.past).ids).toContain('prompt');
  // Nothing that codex had is sent to it again.
  await takeOver(other.host, REF, MOVED, restored, null);
  const again: string[] = [];
  await restored.inbox.handOver(({ messageId }) => Promise.resolve(again.push(messageId) > 0));
  expect(again).toEqual([]);

  // It goes on there: what it saves goes behind what was saved, and is compacted in its turn.
  const there = takeEach(other.host, restored);
  for (let many = 0; many < 6; many++) {
    await turns(restored);
    expect(await there.take()).toBeNull();
    expect(await sizeOf(restored)).toBeLessThan(1.2 * MIB);
  }
  const third = await taskOnHost(use.store, { ...MOVED, generation: 2 });
  await restoreTask(third.host, REF, third.spec, third.folder);
  expect(stateIn(await readLedger(third.folder.ledger))).toEqual(
    stateIn(await readLedger(other.folder.ledger)),
  );
});

test.each([
  ['a conversation with checkpoints', {}, true],
  ['a conversation without', { snapshot: { checkpoint: 'off' } }, true],
  ['a job with checkpoints', { mode: 'task' }, true],
  // Lost with its host it begins anew, with all its messages.
  ['a job without', { mode: 'task', snapshot: { checkpoint: 'off' } }, false],
])('texts of delivered messages are dropped but for the last turn: %s', async (_, input, goes) => {
  const { host, folder, open } = await taskOnHost(use.store, null, input);
  const task = await open();
  const checkpoints = takeEach(host, task);
  const send = async (messageId: string, bytes: number) => {
    await task.inbox.accept({ messageId, text: 'x'.repeat(bytes) });
    await task.ledger.write({ t: 'accepted', messageId });
  };
  await send('first', 1.1 * MIB);
  expect(await checkpoints.take()).toBeNull();
  await send('last', 1.2 * MIB);
  await task.inbox.accept({ messageId: 'waits', text: 'a' });
  expect(await checkpoints.take()).toBeNull();
  const past = await readLedger(folder.ledger);
  const texts = past.flatMap((each) => (each.t === 'message' ? [each.message.messageId] : []));
  expect(texts).toEqual([...(goes ? [] : ['first']), 'last', 'waits']);
  expect(takenIn(past).ids).toEqual(['first', 'last', 'waits']);
});

test('a message sent right before a worker was killed leaves at the next checkpoint', async () => {
  const { host, open } = await taskOnHost(use.store);
  const task = await open();
  await task.inbox.accept({ messageId: 'a', text: 'a' });
  await task.ledger.write({ t: 'accepted', messageId: 'a' });
  await task.inbox.accept({ messageId: 'b', text: 'b' });
  const next = await open();
  await takeEach(host, next).take();
  expect(await keptMessages(use.store, REF.runId)).toEqual([{ messageId: 'b', text: 'b' }]);
});
