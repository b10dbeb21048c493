import { rm } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { range } from '../support/range.js';
import { until } from '../support/until.js';
import { numbers, readEvents } from './event-reader.js';
import { append, endTask } from './filled-stream.js';
import { serveLiveTask, serveTask } from './serve-task.js';

describe('subscribing', () => {
  test('sends all events, then new ones, as frames of an id and a data line', async () => {
    const task = await serveLiveTask();
    append(task, 1, 3);
    await task.journal.flushed();
    const reader = readEvents(task);
    const head = await reader.head();
    expect(head).toMatch(/^HTTP\/1.1 200/);
    expect(head).toMatch(/content-type: text\/event-stream\r\n/i);
    expect(head).toMatch(/cache-control: no-cache\r\n/i);
    expect(head).toMatch(/x-accel-buffering: no\r\n/i);
    await reader.take(3);
    append(task, 4, 5);
    await reader.take(5);
    const frames = range(1, 5).map((n) => `id: ${n}\ndata: {"n":${n},"fill":""}\n\n`);
    expect(reader.text()).toBe(frames.join(''));
  });

  test.each([
    [undefined, 1],
    [0, 1],
    [1, 2],
    [700, 701],
    [1_999, 2_000],
    [2_500, 2_501],
    [9_999, 1],
    ['-5', 1],
    ['1x', 1],
    ['', 1],
    ['99999999999999999999', 1],
  ])('starts, with Last-Event-ID %s, at %i', async (lastEventId, first) => {
    const task = await serveLiveTask();
    append(task, 1, 2_500);
    await task.journal.flushed();
    const reader = readEvents(task, lastEventId === undefined ? {} : { lastEventId });
    await reader.head();
    append(task, 2_501, 2_502);
    expect(numbers(await reader.take(2_502 - first + 1))).toEqual(range(first, 2_502));
  });

  test('sends many subscribers the same, each event once and in order, during a flood', async () => {
    const task = await serveLiveTask();
    append(task, 1, 500, 100);
    await task.journal.flushed();
    const readers = range(1, 20).map((i) => readEvents(task, { lastEventId: i * 10 }));
    for (let n = 501; n <= 3_000; n += 50) {
      append(task, n, n + 49, 100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const [i, reader] of readers.entries()) {
      const first = (i + 1) * 10 + 1;
      expect(numbers(await reader.take(3_000 - first + 1))).toEqual(range(first, 3_000));
    }
  });

  test('sends HTTP/1.0 no chunks and closes its connection', async () => {
    const task = await serveLiveTask();
    append(task, 1, 2);
    const reader = readEvents(task, { version: '1.0' });
    expect(await reader.head()).not.toMatch(/transfer-encoding/i);
    expect(numbers(await reader.take(2))).toEqual([1, 2]);
    append(task, 3, 3);
    await reader.take(3);
    await endTask(task);
    await until('the connection ended', () => reader.closed());
    expect(reader.events()).toHaveLength(4);
  });

  test('answers HEAD and ends', async () => {
    const task = await serveLiveTask();
    append(task, 1, 2);
    const reader = readEvents(task, { method: 'HEAD' });
    expect(await reader.head()).toMatch(/200 OK[^]*text\/event-stream/);
    reader.socket.write(`GET /health HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('the next answer', () => reader.text().includes('"hostId":"h1"'));
  });

  test('keeps a second request from getting into an open stream', async () => {
    const task = await serveLiveTask();
    const reader = readEvents(task);
    await reader.head();
    reader.socket.write(
      `GET /tasks/t1/events HTTP/1.1\r\nHost: x\r\nAuthorization: ${task.auth.authorization}\r\n\r\n`,
    );
    append(task, 1, 3);
    expect(numbers(await reader.take(3))).toEqual([1, 2, 3]);
    expect(reader.text().match(/HTTP/g)).toBeNull();
  });

  test('sends an event once its id may be shown, to old and new subscribers', async () => {
    let tell = () => undefined as void;
    const ids = {
      upTo: 150,
      reached: () => undefined,
      cover: () => Promise.resolve(),
      onGrown: (grown: () => void) => (tell = grown),
      close: () => undefined,
    };
    const task = await serveLiveTask({ journal: { ids } });
    append(task, 1, 100);
    await task.journal.flushed();
    const early = readEvents(task);
    await early.take(100);
    append(task, 101, 300);
    await task.journal.flushed();
    const readers = [early, readEvents(task), readEvents(task, { lastEventId: 120 })];
    for (const reader of readers) await until('what may be shown', () => reader.events().at(-1)?.id === 150);
    ids.upTo = 1_000;
    tell();
    for (const reader of readers) await until('the rest', () => reader.events().at(-1)?.id === 300);
    expect(early.events().map(({ id }) => id)).toEqual(range(1, 300));
    expect(numbers(readers[2]!.events())).toEqual(range(121, 300));
  });

  test('ends the stream with its journal, even with events that may not be shown', async () => {
    const ids = { upTo: 2, reached: () => undefined, cover: () => Promise.resolve() };
    const never = { onGrown: () => undefined, close: () => undefined };
    const task = await serveLiveTask({ journal: { ids: { ...ids, ...never } } });
    append(task, 1, 3);
    await task.journal.flushed();
    const reader = readEvents(task);
    await reader.take(2);
    await task.journal.end();
    await until('the end', () => reader.ended());
    expect(numbers(reader.events())).toEqual([1, 2]);
  });

  test('sends a comment after a while without an event', async () => {
    const task = await serveLiveTask({ streams: { pingMs: 30 } });
    const reader = readEvents(task);
    await until('pings', () => reader.text().includes(': ping\n\n: ping\n\n'));
    append(task, 1, 1);
    expect(numbers(await reader.take(1))).toEqual([1]);
  });
});

describe('gaps', () => {
  test('tells a reader of removed events which ones are missing', async () => {
    const task = await serveLiveTask({ journal: { maxBytes: 200_000 } });
    for (let n = 1; n <= 4_000; n += 100) {
      append(task, n, n + 99, 100);
      await task.journal.flushed();
    }
    const reader = readEvents(task, { lastEventId: 5 });
    const [gap, next] = await reader.take(2);
    expect(gap!.data).toEqual({ type: 'x-optio-gap', from: 6, to: next!.id - 1 });
    expect(gap!.id).toBe(next!.id - 1);
    expect(numbers((await reader.take(4_000 - gap!.id + 1)).slice(1))).toEqual(range(next!.id, 4_000));
  });

  test('cuts the stream when journal files vanish, instead of skipping events', async () => {
    const task = await serveTask();
    append(task, 1, 3_000, 2_000);
    await task.journal.flushed();
    await rm(task.folder.journal, { recursive: true });
    const reader = readEvents(task);
    await until('the connection is cut', () => reader.closed());
    expect(reader.events()).toEqual([]);
  });
});
