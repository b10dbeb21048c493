import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { HookRequest } from '../../../src/contract/index.js';
import { openTurnCheckpoints, openPatience } from '../../../src/session/task/turn-checkpoints.js';
import { openHookRequests } from '../../../src/session/agent-channel/hook-requests.js';
import { openHostProtocol, PROTOCOL_LOG } from '../../../src/session/agent-channel/host-protocol.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { prepareProtocol } from '../../../src/session/agent-channel/protocol-folder.js';
import { FORMATS, NewerFormat } from '../../../src/formats.js';
import { requireKnownFolders } from '../../../src/session/host/known-folders.js';
import { lostEvents, restoreTask, takeOver } from '../../../src/session/task/restore-task.js';
import { saveTask } from '../../../src/session/task/save-task.js';
import { recallMore } from '../../../src/session/recall/recall-events.js';
import { takeOverHookRequests } from '../../../src/session/agent-channel/take-over-hook-requests.js';
import { eventMark, keptMessages, reserveEventIds } from '../../../src/store/task-state.js';
import { listSnapshots } from '../../../src/store/snapshots.js';
import { MOVED, REF, taskOnHost, type TaskOn } from '../task-on-host.js';
import { until } from '../../support/until.js';
import { useStore } from '../../store/support.js';

const use = useStore();
const THREAD = { threadId: 'thread', isWhole: false };

const taskOn = (...args: TaskOn) => taskOnHost(use.store, ...args);

const event = (n: number) => JSON.stringify({ method: 'x', params: { n } });
async function wholeOf({ journal }: PreparedTask): Promise<string> {
  let text = '';
  for (let after = 0, frames = await journal.read(0, 1e6); frames; frames = await journal.read(after, 1e6)) {
    text += frames.bytes.toString();
    after = frames.lastId;
  }
  return text;
}

test('a task saved after several turns is restored byte for byte on another host', async () => {
  const first = await taskOn();
  const task = await first.open();
  await writeFile(join(first.folder.work, 'a.txt'), 'one');
  for (const turn of [1, 2, 3]) {
    for (let n = 0; n < 4; n++) task.journal.append(event(turn * 10 + n));
    await task.ledger.write({ t: 'process', incarnation: turn });
    await writeFile(join(first.folder.work, 'a.txt'), `turn ${turn}`);
    await saveTask(first.host, task, THREAD);
  }
  task.journal.append(event(99));
  await task.ledger.write({ t: 'process', incarnation: 99 });
  await task.journal.flushed();

  const other = await taskOn(MOVED);
  expect(await restoreTask(other.host, REF, other.spec, other.folder)).toMatchObject({ threadId: 'thread' });
  expect(await readFile(join(other.folder.work, 'a.txt'), 'utf8')).toBe('turn 3');
  const lostUpTo = await lostEvents(other.host, REF, other.spec, { ...MOVED, lastEventId: 13 });
  expect(lostUpTo).toBe(13);
  const restored = await other.open(lostUpTo);
  expect(restored.ledger.past.filter(({ t }) => t !== 'boot')).toEqual(
    [1, 2, 3].map((incarnation) => ({ t: 'process', incarnation })),
  );
  const timed = (await wholeOf(restored)).replace(/"at":\d+/, '"at":0');
  const gap = 'id: 10000\ndata: {"type":"x-optio-gap","from":13,"to":9999,"at":0}\n\n';
  expect(timed).toBe((await wholeOf(task)).replace(/id: 13\n.*\n\n$/, '') + gap);

  // And from there to a third, with what the second added.
  restored.journal.append(event(1));
  await restored.ledger.write({ t: 'process', incarnation: 1001 });
  await saveTask(other.host, restored, THREAD);
  const third = await taskOn({ ...MOVED, generation: 2 });
  await restoreTask(third.host, REF, third.spec, third.folder);
  const again = await third.open();
  expect(await wholeOf(again)).toBe(await wholeOf(restored));
  expect(again.ledger.past.at(-1)).toEqual({ t: 'process', incarnation: 1001 });
});

test('a newer worker’s ledger is not restored, and the next worker can read the folder', async () => {
  const first = await taskOn();
  const task = await first.open();
  // As such a worker would begin its own part of it.
  const version = FORMATS.ledger.version + 1;
  await writeFile(first.folder.ledger, `{"t":"format","version":${version}}\n{"t":"close"}\n`);
  await saveTask(first.host, task, THREAD);
  const other = await taskOn(MOVED);
  await expect(restoreTask(other.host, REF, other.spec, other.folder)).rejects.toThrow(NewerFormat);
  await requireKnownFolders(other.host.config.dataDir);
});

test('a complete save by the host before loses nothing and leaves no gap in ids', async () => {
  const first = await taskOn();
  const task = await first.open();
  task.journal.append(event(1));
  // Nothing came since its last checkpoint.
  await saveTask(first.host, task, THREAD);
  await saveTask(first.host, task, { ...THREAD, isWhole: true });
  expect(await lostEvents(first.host, REF, first.spec, MOVED)).toBeNull();
  // Another host had it in between.
  expect(await lostEvents(first.host, REF, first.spec, { ...MOVED, generation: 2, lastEventId: 40 })).toBe(
    40,
  );
});

test('reserved ids count although no heartbeat reported them', async () => {
  const { host, spec } = await taskOn();
  await reserveEventIds(use.store, REF, 0, 57_000);
  expect(await lostEvents(host, REF, spec, MOVED)).toBe(57_000);
});

test('event ids are reserved and continue after those of the host before', async () => {
  const first = await taskOn();
  const { journal } = await first.open();
  for (let n = 0; n < 6_500; n++) journal.append(event(n));
  await journal.flushed();
  await expect.poll(() => eventMark(use.store, REF.runId)).toBe(19_999);
  // From here on the first host gets no more.
  expect(await lostEvents(first.host, REF, first.spec, MOVED)).toBe(19_999);
  const other = await taskOn(MOVED);
  expect((await other.open(19_999)).journal.lastId).toBe(20_000);
  await expect(first.open(6_500)).rejects.toMatchObject({ code: 'HostLost' });
});

test('messages stay in the database until a checkpoint includes them', async () => {
  const { host, open, spec } = await taskOn();
  const task = await open();
  const ids = async () =>
    (await keptMessages<{ messageId: string }>(use.store, 'r1')).map(({ messageId }) => messageId);
  for (const messageId of ['a', 'b']) await task.inbox.accept({ messageId, text: 'hi' });
  expect(await ids()).toEqual(['a', 'b']);
  await task.ledger.write({ t: 'accepted', messageId: 'a' });
  expect(await ids()).toEqual(['a', 'b']);
  await openTurnCheckpoints(host, task, 'thread').take();
  expect(await ids()).toEqual(['b']);
  expect(spec.snapshot.checkpoint).toBe('turn');
});

test('another host takes over undelivered messages and closes open requests, once', async () => {
  const first = await taskOn();
  const task = await first.open();
  await task.inbox.accept({ messageId: 'saved', text: 'hi' });
  task.journal.append(JSON.stringify({ type: 'x-optio-permission-answered', request_id: '1-0' }));
  await saveTask(first.host, task, THREAD);
  await task.inbox.accept({ messageId: 'late', text: 'hi' });
  const moved = { ...MOVED, requests: ['1-0', '1-1'] };
  const other = await taskOn(moved);
  await restoreTask(other.host, REF, other.spec, other.folder);
  const restored = await other.open();
  await takeOver(other.host, REF, moved, restored, await recallMore(restored.journal, 'thread'));
  const taken: string[] = [];
  await restored.inbox.handOver(({ messageId }) => Promise.resolve(taken.push(messageId) > 0));
  expect(taken).toEqual(['late']);
  await restored.journal.flushed();
  const events = await wholeOf(restored);
  for (const id of moved.requests)
    expect(events.match(new RegExp(`x-optio-permission-answered","request_id":"${id}"`, 'g'))).toHaveLength(
      1,
    );
  expect(events).toContain('"request_id":"1-1","behavior":"deny","decidedBy":"host-lost"');
});

test('another host waits for unanswered hook requests and not for answered ones', async () => {
  const first = await taskOn();
  const task = await first.open();
  const upload = (id: string) => ({ id, kind: 'upload', path: id, bytes: 1 }) as const;
  const asked = openHookRequests(task.ledger, () => undefined);
  for (const id of ['answered', 'untold']) await asked.add(upload(id));
  await saveTask(first.host, task, THREAD);
  // After the checkpoint: one has its answer, and another one comes.
  await asked.settle({ id: 'answered', text: null });
  await asked.add(upload('late'));

  const other = await taskOn(MOVED);
  await restoreTask(other.host, REF, other.spec, other.folder);
  const restored = await other.open();
  const known = { open: ['late'], settled: ['answered', 'older'] };
  const ledger = await takeOverHookRequests(restored, other.folder.work, known);
  const told: string[] = [];
  const hookRequests = openHookRequests(ledger, ({ id }) => told.push(id));
  expect(told).toEqual(['untold']);
  expect(hookRequests.size).toBe(2);
  for (const id of ['late', 'untold']) await hookRequests.settle({ id, text: null });
  expect(hookRequests.size).toBe(0);
  // The next worker there reads the same.
  expect(openHookRequests((await other.open()).ledger, () => told.push('again')).size).toBe(0);
});

test('another host reads the agent’s log once, and later lines get new ids', async () => {
  const first = await taskOn();
  const task = await first.open();
  const log = join(first.folder.work, PROTOCOL_LOG);
  const listen = async (on: PreparedTask, work: string) => {
    const told: HookRequest[] = [];
    const hookRequests = openHookRequests(on.ledger, (hookRequest) => told.push(hookRequest));
    const { journal, ledger } = on;
    const options = { store: use.store, taskId: 't1', work, maxBytes: 100, journal, ledger, hookRequests };
    const protocol = openHostProtocol({ ...options, asksCaller: true, log: pino({ enabled: false }) });
    const ends: unknown[] = [];
    const nothing = () => undefined;
    const tell = () => Promise.resolve();
    await protocol.start({ tell, progress: nothing, conclude: (end) => ends.push(end), reconsider: nothing });
    onTestFinished(() => protocol.close());
    const caughtUp = async () => {
      protocol.turnEnded();
      await until('the log read', () => !protocol.isBehind);
    };
    return { told, ends, caughtUp, protocol, hookRequests };
  };
  await writeFile(log, 'CALLER_MESSAGE: k 1\n');
  const before = await listen(task, first.folder.work);
  await before.caughtUp();
  await before.protocol.close();
  // Two that are in the checkpoint's workdir: one whose hook request alone is noted, one that nobody has acted on.
  await appendFile(log, 'CALLER_MESSAGE: k 2\nCALLER_MESSAGE: k 3\n');
  const [token] = before.told[0]!.id.split('-');
  await before.hookRequests.add({ id: `${token}-2`, kind: 'callerMessage', keyword: 'k', message: 2 });
  await saveTask(first.host, task, THREAD);

  const other = await taskOn(MOVED);
  await restoreTask(other.host, REF, other.spec, other.folder);
  await prepareProtocol(other.folder.work, true);
  const restored = await other.open();
  const ledger = await takeOverHookRequests(restored, other.folder.work);
  const after = await listen({ ...restored, ledger }, other.folder.work);
  await appendFile(join(other.folder.work, PROTOCOL_LOG), 'CALLER_MESSAGE: k 4\nDONE\n');
  await until('the end', () => after.ends.length > 0);
  const messages = (told: HookRequest[]) =>
    told.map((hookRequest) => 'message' in hookRequest && hookRequest.message);
  // What has no answer yet is told again, under its own id.
  expect(messages(after.told)).toEqual([1, 2, 3, 4]);
  const ids = after.told.map(({ id }) => id);
  expect(ids.slice(0, 2)).toEqual([`${token}-1`, `${token}-2`]);
  expect(ids.slice(2).filter((id) => id.startsWith(token!))).toEqual([]);
  const lines = [...(await wholeOf(restored)).matchAll(/"line":(\d+)/g)].map(([, line]) => line);
  expect(lines).toEqual(['1', '2', '3', '4', '5']);
});

test('a failed checkpoint is a warning, and none is taken without the right', async () => {
  const { host, open, hostLease } = await taskOn();
  const task = await open();
  task.journal.append(event(1));
  hostLease.isHeld = () => false;
  const warning = await openTurnCheckpoints(host, task, 'thread').take();
  expect(warning).toMatch(/^checkpoint: Host h1 may not save task t1 any more/);
  expect(await listSnapshots(use.store, 't1')).toEqual([]);
  hostLease.isHeld = () => true;
  expect(await openTurnCheckpoints(host, task, 'thread').take()).toBeNull();
  expect(await listSnapshots(use.store, 't1')).toHaveLength(1);
});

test('a checkpoint that exceeds its time gets longer each time, with one warning', async () => {
  const { host, open } = await taskOn();
  const task = await open();
  task.journal.append(event(1));
  const checkpoints = openTurnCheckpoints(host, task, 'thread', 1);
  const warnings: (string | null)[] = [];
  for (let turn = 0; turn < 17 && (await listSnapshots(use.store, 't1')).length === 0; turn++)
    warnings.push(await checkpoints.take());
  expect(await listSnapshots(use.store, 't1')).toHaveLength(1);
  expect(warnings[0]).toMatch(/^checkpoint: no end after 0.001 s; work since the last one is lost/);
  expect(warnings.slice(1).filter((each) => each !== null)).toEqual([]);
});

test('more and more turns run without a checkpoint after the longest one failed', () => {
  const patience = openPatience(60_000);
  for (const ms of [60_000, 120_000, 240_000, 480_000, 960_000]) {
    expect([patience.begins(), patience.ms]).toEqual([true, ms]);
    patience.ranOut();
  }
  const tries = () => {
    let skipped = 0;
    while (!patience.begins()) skipped++;
    patience.ranOut();
    return skipped;
  };
  expect([tries(), tries(), tries()]).toEqual([1, 2, 4]);
});

test('a host without room for a checkpoint writes nothing of it', async () => {
  const first = await taskOn();
  const task = await first.open();
  await writeFile(join(first.folder.work, 'a.txt'), 'one');
  await saveTask(first.host, task, THREAD);
  const other = await taskOn(MOVED);
  Object.assign(other.host.config, { minFreeBytes: Number.MAX_SAFE_INTEGER });
  await expect(restoreTask(other.host, REF, other.spec, other.folder)).rejects.toMatchObject({
    code: 'HostUnfit',
  });
  expect(await readdir(other.folder.work)).toEqual([]);
});

test('a right that ends during a save leaves no checkpoint for another host', async () => {
  const { host, open, hostLease } = await taskOn();
  const task = await open();
  task.journal.append(event(1));
  let asked = 0;
  hostLease.isHeld = () => ++asked === 1;
  await expect(saveTask(host, task, THREAD)).rejects.toMatchObject({ code: 'HostLost' });
  expect(asked).toBe(2);
  expect(await listSnapshots(use.store, 't1')).toEqual([]);
});

test('a complete save counts only for the assignment right after its own', async () => {
  const first = await taskOn();
  const task = await first.open();
  task.journal.append(event(1));
  await saveTask(first.host, task, { ...THREAD, isWhole: true });
  const second = await taskOn(MOVED);
  await restoreTask(second.host, REF, second.spec, second.folder);
  const restored = await second.open();
  restored.journal.append(event(2));
  await saveTask(second.host, restored, { ...THREAD, isWhole: true });
  const moved = { ...MOVED, lastEventId: 40 };
  expect(await lostEvents(second.host, REF, second.spec, { ...moved, generation: 2 })).toBeNull();
  expect(await lostEvents(second.host, REF, second.spec, { ...moved, generation: 3 })).toBe(40);
});
