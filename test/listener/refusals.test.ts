import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { post, serveLiveTask, serveTask, type ServedTask } from './serve-task.js';

/** Has the session fail at the next message. */
function failAccept({ host }: ServedTask, error: Error): void {
  const task = host.tasks.find('t1');
  if (task?.kind !== 'live') throw new Error('not live');
  task.session.thread.accept = () => Promise.reject(error);
}

describe('a fault after the checks', () => {
  test.each([
    ['a session that closed meanwhile', new TaskError('SessionNotHere', 'closed'), 409, 'closed'],
    ['an image that is wanting after all', new TaskError('BadInput', 'image'), 400, 'bad-images'],
    ['a full disk', Object.assign(new Error('full'), { code: 'ENOSPC' }), 503, 'disk-full'],
    ['a used up quota', Object.assign(new Error('full'), { code: 'EDQUOT' }), 503, 'disk-full'],
    ['a fault of ours', new Error('secret detail'), 500, 'internal'],
  ])('is answered in send: %s', async (_what, error, status, reason) => {
    const task = await serveLiveTask();
    failAccept(task, error);
    const answer = await post(task, 'send', { text: 'a' });
    expect([answer.status, answer.body]).toEqual([status, { ok: false, reason }]);
    expect(answer.headers.get('retry-after')).toBe(status === 503 ? '2' : null);
  });
});

describe('a reason', () => {
  test('names the cause of every 503 of a task', async () => {
    const early = await serveTask();
    expect((await post(early, 'interrupt')).body).toEqual({ ok: false, reason: 'starting' });
    const download = await fetch(`${early.url}/download?path=a`, { headers: early.auth });
    expect(await download.json()).toEqual({ ok: false, reason: 'starting' });
    const given = early.host.tasks.find('t1');
    if (given?.kind !== 'prepared') throw new Error('not prepared');
    early.host.tasks.set({ ...given, parked: true });
    for (const route of ['interrupt', 'model', 'control', 'permission', 'upload']) {
      const { status, body, headers } = await post(early, route, '{}');
      const said = [route, status, body, headers.get('retry-after')];
      expect(said).toEqual([route, 503, { ok: false, reason: 'parked' }, '2']);
    }
    const asked = await fetch(`${early.url}/download?path=a`, { headers: early.auth });
    expect([asked.status, await asked.json()]).toEqual([503, { ok: false, reason: 'parked' }]);
    expect((await post(early, 'send', { text: 'later' })).status).toBe(200);
    const task = await serveLiveTask();
    task.session.open.add('r');
    task.temporal = () => Promise.reject(new Error('14 UNAVAILABLE'));
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).body).toEqual({
      ok: false,
      reason: 'temporal-unreachable',
    });
  });

  test('is not-found (404) for a path without a route, with or without the password', async () => {
    const task = await serveLiveTask();
    const ask = async (path: string, headers = {}) => {
      const response = await fetch(`${task.origin}${path}`, { headers });
      return [response.status, await response.json()];
    };
    const notFound = [404, { ok: false, reason: 'not-found' }];
    expect(await ask('/nothing')).toEqual(notFound);
    expect(await ask('/tasks/t1')).toEqual(notFound);
    expect(await ask('/tasks/t1/nothing', task.auth)).toEqual(notFound);
  });

  test('is that a stopping worker is not ready, yet healthy', async () => {
    const task = await serveLiveTask();
    task.notReady = 'stopping';
    const ready = await fetch(`${task.origin}/ready`);
    expect([ready.status, ready.headers.get('retry-after')]).toEqual([503, '2']);
    const health = await fetch(`${task.origin}/health`);
    expect([health.status, await health.json()]).toEqual([200, { ok: true, hostId: 'h1', sessions: 1 }]);
  });
});

describe('the listener’s own routes', () => {
  test.each(['health', 'ready', 'metrics'])('allows only reads of %s', async (route) => {
    const task = await serveLiveTask();
    const ask = async (method: string) => {
      const headers = { authorization: `Bearer ${task.operator}` };
      return fetch(`${task.origin}/${route}`, { method, headers });
    };
    expect((await ask('HEAD')).status).toBe(200);
    const refused = await ask('POST');
    expect([refused.status, await refused.json()]).toEqual([404, { ok: false, reason: 'not-found' }]);
  });
});

describe('bodies', () => {
  test('are read as gzip, with 400 for a broken and 415 for an unknown encoding', async () => {
    const task = await serveLiveTask();
    const send = async (body: Buffer | string, encoding: string) => {
      const response = await fetch(`${task.url}/send`, {
        method: 'POST',
        headers: { ...task.auth, 'content-encoding': encoding },
        body,
      });
      return [response.status, await response.json()];
    };
    const body = JSON.stringify({ text: 'a', messageId: 'm' });
    expect(await send(gzipSync(body), 'gzip')).toEqual([200, { ok: true, messageId: 'm' }]);
    for (const broken of [body, gzipSync(body).subarray(0, -9), ''])
      expect(await send(broken, 'gzip')).toEqual([400, { ok: false, reason: 'bad-json' }]);
    expect(await send(body, 'unknown')).toEqual([415, { ok: false, reason: 'bad-request' }]);
  });
});

describe('a task that is closing', () => {
  test('still serves its files and events', async () => {
    const task = await serveLiveTask();
    await writeFile(join(task.folder.work, 'a'), 'text');
    task.session.closed = true;
    const file = await fetch(`${task.url}/download?path=a`, { headers: task.auth });
    expect([file.status, await file.text()]).toEqual([200, 'text']);
    expect((await fetch(`${task.url}/events`, { method: 'HEAD', headers: task.auth })).status).toBe(200);
  });
});

describe('a worker that starts or stops', () => {
  test('answers for a task only once it knows its tasks', async () => {
    let markRecovered: () => void = () => undefined;
    const recovered = new Promise<void>((resolve) => (markRecovered = resolve));
    const task = await serveTask({ recovered });
    let answered = false;
    const asking = fetch(`${task.url}/events`, { headers: task.auth }).then((answer) => {
      answered = true;
      return answer;
    });
    // Another request on the same server has its answer, so the first one was heard and waits.
    expect((await fetch(new URL('/health', task.url))).status).toBe(200);
    expect(answered).toBe(false);
    markRecovered();
    const answer = await asking;
    expect(answer.status).toBe(200);
    await answer.body?.cancel();
  });

  test('answers 503, not 409, for tasks that continue with the next worker', async () => {
    const task = await serveLiveTask();
    task.session.closed = true;
    expect((await post(task, 'send', { text: 'a' })).status).toBe(409);
    task.host.tasks.drain();
    expect((await post(task, 'send', { text: 'a' })).body).toEqual({ ok: false, reason: 'stopping' });
  });
});
