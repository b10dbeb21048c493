import { describe, expect, test } from 'vitest';
import { keepEnded } from '../../src/session/host/ended-journals.js';
import { range } from '../support/range.js';
import { until } from '../support/until.js';
import { numbers, readEvents } from './event-reader.js';
import { append, CLOSED_EVENT, endTask, putAside } from './filled-stream.js';
import { serveLiveTask, type ServedTask } from './serve-task.js';

describe('a slow subscriber', () => {
  test('costs bounded memory, delays nobody else, and gets everything in the end', async () => {
    const task = await serveLiveTask();
    const slow = readEvents(task);
    await slow.head();
    slow.socket.pause();
    const quick = readEvents(task);
    await quick.head();
    const serverSide = await serverSocketOf(task, slow.socket.localPort!);
    let most = 0;
    for (let n = 1; n <= 12_000; n += 500) {
      append(task, n, n + 499, 1_000);
      await task.journal.flushed();
      most = Math.max(most, serverSide.writableLength);
    }
    expect((await quick.take(12_000)).length).toBe(12_000);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(1_000_000);
    slow.socket.resume();
    expect(numbers(await slow.take(12_000))).toEqual(range(1, 12_000));
  });

  test('gets the last events and the end within its grace period', async () => {
    const task = await serveLiveTask();
    const slow = readEvents(task);
    await slow.head();
    slow.socket.pause();
    append(task, 1, 20_000, 1_000);
    await task.journal.flushed();
    const ending = endTask(task, 20_000);
    slow.socket.resume();
    await ending;
    await until('the end', () => slow.ended());
    const events = slow.events();
    expect(events).toHaveLength(20_001);
    expect(events.at(-1)!.data).toEqual(JSON.parse(CLOSED_EVENT));
  });

  test('is cut off after the grace period when it never reads', async () => {
    const task = await serveLiveTask();
    const stuck = readEvents(task);
    await stuck.head();
    stuck.socket.pause();
    append(task, 1, 20_000, 1_000);
    await task.journal.flushed();
    await endTask(task, 100);
    stuck.socket.resume();
    await until('its connection is gone', () => stuck.closed());
    expect(stuck.ended()).toBe(false);
  });
});

describe('a subscriber that leaves', () => {
  test('leaves nothing behind', async () => {
    const task = await serveLiveTask();
    const readers = range(1, 10).map(() => readEvents(task));
    for (const reader of readers) await reader.head();
    const metrics = async () =>
      (
        await fetch(`${task.origin}/metrics`, { headers: { authorization: `Bearer ${task.operator}` } })
      ).text();
    expect(await metrics()).toContain('codex_task_subscribers 10\n');
    for (const reader of readers) reader.socket.destroy();
    await until('none is counted', async () => (await metrics()).includes('codex_task_subscribers 0\n'));
    const start = performance.now();
    await task.journal.close(20_000);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

describe('after the end', () => {
  test('sends the closing event and a regular end, then 204 to a reader that has them', async () => {
    const task = await serveLiveTask();
    append(task, 1, 3);
    const readers = range(1, 3).map(() => readEvents(task));
    for (const reader of readers) await reader.take(3);
    await endTask(task);
    for (const reader of readers) {
      await until('the end', () => reader.ended());
      expect(reader.events().at(-1)).toEqual({ id: 4, data: JSON.parse(CLOSED_EVENT) as object });
    }
    expect(await readEvents(task, { lastEventId: 4 }).head()).toMatch(/^HTTP\/1.1 204/);
    const late = readEvents(task, { lastEventId: 2 });
    await until('the end', () => late.ended());
    expect(late.events().map(({ id }) => id)).toEqual([3, 4]);
    const fresh = await Promise.all(
      range(1, 5).map(async () => {
        const reader = readEvents(task);
        await until('the end', () => reader.ended());
        return reader.events().length;
      }),
    );
    expect(fresh).toEqual([4, 4, 4, 4, 4]);
  });

  test('cuts the stream of a task that continues elsewhere, so that its reader comes back', async () => {
    const task = await serveLiveTask();
    append(task, 1, 3);
    await task.journal.end();
    const late = readEvents(task, { lastEventId: 3 });
    expect(await late.head()).toMatch(/^HTTP\/1.1 200/);
    await until('the end', () => late.ended());
    expect(late.events()).toEqual([]);
  });

  test('answers 204 at once for a task that ended before its first event', async () => {
    const task = await serveLiveTask();
    await putAside(task);
    expect(await readEvents(task).head()).toMatch(/^HTTP\/1.1 204/);
  });

  test('answers 404 for events that are no longer kept', async () => {
    const task = await serveLiveTask();
    await endTask(task);
    const sweeping = keepEnded(task.dataDir, 1, (error) => {
      throw error as Error;
    });
    await until('it was removed', async () => (await readEvents(task).head()).startsWith('HTTP/1.1 404'));
    sweeping.close();
  });
});

/** The server's end of a connection, by the client's port. */
async function serverSocketOf(_task: ServedTask, port: number): Promise<{ writableLength: number }> {
  const handles = (
    process as unknown as { _getActiveHandles(): { remotePort?: number; writableLength: number }[] }
  )._getActiveHandles();
  const socket = handles.find(({ remotePort }) => remotePort === port);
  if (!socket) throw new Error('not found');
  return socket;
}
