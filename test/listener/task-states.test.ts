import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openLedger } from '../../src/task-folder/ledger.js';
import { readEvents } from './event-reader.js';
import { post, serveLiveTask, serveTask } from './serve-task.js';

const POSTS = ['send', 'interrupt', 'model', 'control', 'permission', 'upload'];
const GETS = ['events', 'download?path=a'];

describe('a task without a live session', () => {
  test('holds events and queues messages before its session, or answers 503', async () => {
    const task = await serveTask();
    const reader = readEvents(task);
    await reader.head();
    expect(await post(task, 'send', { text: 'early', messageId: 'e1' })).toMatchObject({
      status: 200,
      body: { ok: true, messageId: 'e1' },
    });
    expect((await post(task, 'send', { text: 'again', messageId: 'e1' })).status).toBe(200);
    const { past } = await openLedger(task.folder.ledger).then(
      async (ledger) => (await ledger.close(), ledger),
    );
    expect(past).toEqual([{ t: 'message', message: { messageId: 'e1', text: 'early' } }]);
    for (const route of POSTS.filter((each) => each !== 'send')) {
      const { status, headers } = await post(task, route, '{}');
      expect([route, status, headers.get('retry-after')]).toEqual([route, 503, '2']);
    }
    expect((await fetch(`${task.url}/download?path=a`, { headers: task.auth })).status).toBe(503);
    task.journal.append('{"n":1}');
    expect(await reader.take(1)).toEqual([{ id: 1, data: { n: 1 } }]);
    task.goLive(false);
    expect((await post(task, 'interrupt')).status).toBe(503);
    expect((await post(task, 'send', { text: 'now' })).status).toBe(200);
  });

  test.each([
    [200, 'ending', 'x'],
    [503, 'recovering', '{"ok":false,"reason":"recovering"}'],
  ] as const)('answers a download with %s while the task is %s', async (status, is, text) => {
    const task = await serveLiveTask();
    await writeFile(join(task.folder.work, 'a'), 'x');
    const { ref, stopping, prepared } = task.host.tasks.live({
      taskId: 't1',
      runId: 'r1',
      assignmentId: 's',
    });
    task.host.tasks.set({ kind: is, ref, stopping, prepared, mounted: true, failed: null });
    const answer = await fetch(`${task.url}/download?path=a`, { headers: task.auth });
    expect([answer.status, await answer.text()]).toEqual([status, text]);
  });

  test('hands early messages to the session in order', async () => {
    const task = await serveTask();
    for (const messageId of ['a', 'b', 'c']) await post(task, 'send', { text: messageId, messageId });
    const given = task.host.tasks.find('t1');
    const taken: string[] = [];
    if (given?.kind !== 'prepared') throw new Error('not prepared');
    const accept = ({ messageId }: { messageId: string }) => Promise.resolve(taken.push(messageId) > 0);
    await given.prepared.inbox.handOver(accept);
    await post(task, 'send', { text: 'd', messageId: 'd' });
    expect(taken).toEqual(['a', 'b', 'c', 'd']);
  });

  test('answers 404 on every route while claimed or unknown', async () => {
    const task = await serveTask();
    task.host.tasks.remove('t1');
    task.host.tasks.claim({ taskId: 't1', runId: 'r1', assignmentId: 's' });
    for (const route of POSTS)
      expect(await post(task, route, '{}')).toMatchObject({
        status: 404,
        body: { ok: false, reason: 'unknown-task' },
      });
    for (const route of GETS)
      expect((await fetch(`${task.url}/${route}`, { headers: task.auth })).status).toBe(404);
    task.host.tasks.remove('t1');
  });

  test('answers POSTs with 409 closed while closing or ended, whatever their body', async () => {
    const task = await serveLiveTask();
    task.session.closed = true;
    for (const route of POSTS)
      expect(await post(task, route, '{')).toMatchObject({
        status: 409,
        body: { ok: false, reason: 'closed' },
      });
    task.host.tasks.remove('t1');
    await mkdir(join(task.dataDir, 'ended', 't1'), { recursive: true });
    for (const route of POSTS)
      expect(await post(task, route, '{')).toMatchObject({
        status: 409,
        body: { ok: false, reason: 'closed' },
      });
    expect((await fetch(`${task.url}/download?path=a`, { headers: task.auth })).status).toBe(409);
  });
});
