import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { taskPassword } from '../../src/listener-secret.js';
import { readEvents } from './event-reader.js';
import { post, serveLiveTask } from './serve-task.js';

const POSTS = ['send', 'interrupt', 'model', 'control', 'permission', 'upload'];
const GETS = ['events', 'download?path=a'];

describe('access', () => {
  test('needs the task’s password or the operators’ token, or gets 401', async () => {
    const task = await serveLiveTask();
    const other = taskPassword('x'.repeat(40), 't2');
    const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;
    const status = async (authorization: string | null, id = 't1') =>
      (
        await fetch(`${task.origin}/tasks/${id}/interrupt`, {
          method: 'POST',
          headers: authorization === null ? {} : { authorization },
        })
      ).status;
    expect(await status(basic(`optio:${task.password}`))).toBe(200);
    expect(await status(`bearer ${task.password}`)).toBe(200);
    expect(await status(`Bearer ${task.operator}`)).toBe(200);
    for (const wrong of [
      null,
      '',
      'Basic',
      'Basic !!',
      basic('optio:'),
      basic(`optio:${other}`),
      basic(`root:${task.password}`),
      basic(`optio:${task.operator}`),
      `Bearer ${other}`,
      `Digest ${task.password}`,
    ]) {
      expect(await status(wrong), String(wrong)).toBe(401);
      expect(await status(wrong, 'nobody'), String(wrong)).toBe(401);
    }
    expect(await status(`Bearer ${task.operator}`, 'nobody')).toBe(404);
  });

  test('needs a credential on every route, with {"ok":false} as the only body', async () => {
    const task = await serveLiveTask();
    for (const route of POSTS) {
      const { status, body } = await post({ url: task.url, auth: { authorization: '' } }, route, '[]');
      expect([route, status, body]).toEqual([route, 401, { ok: false }]);
    }
    for (const route of GETS) expect((await fetch(`${task.url}/${route}`)).status).toBe(401);
    expect((await fetch(`${task.origin}/metrics`)).status).toBe(401);
    expect((await fetch(`${task.origin}/metrics`, { headers: task.auth })).status).toBe(401);
  });
});

describe('health', () => {
  test('is open for health and readiness, and for operators in metrics', async () => {
    const task = await serveLiveTask();
    expect((await fetch(`${task.origin}/health`)).status).toBe(200);
    expect((await fetch(`${task.origin}/ready`)).status).toBe(200);
    task.notReady = 'recovering';
    const unready = await fetch(`${task.origin}/ready`);
    expect([unready.status, await unready.json()]).toEqual([503, { ok: false, reason: 'recovering' }]);
    const reader = readEvents(task);
    await reader.head();
    const metrics = await fetch(`${task.origin}/metrics`, {
      headers: { authorization: `Bearer ${task.operator}` },
    });
    const page = await metrics.text();
    expect(page).toContain('codex_task_sessions{state="live"} 1\n');
    expect(page).toContain('codex_task_subscribers 1\n');
    expect(page).toMatch(/codex_task_requests_total\{status="2xx"\} \d+\n/);
    expect(page).toContain('codex_task_quarantined_credentials 3\n');
  });
});

describe('methods and paths', () => {
  test.each([
    ...POSTS.flatMap((route) =>
      ['GET', 'PUT', 'DELETE', 'PROPFIND'].map((method) => [method, route, 'POST']),
    ),
    ...['events', 'download'].flatMap((route) =>
      ['POST', 'PUT', 'PATCH'].map((method) => [method, route, 'HEAD, GET']),
    ),
  ])('answers %s %s with 405 and the allowed methods', async (method, route, allow) => {
    const task = await serveLiveTask();
    const answer = await raw(method, `${task.url}/${route}`, task.auth);
    expect([answer.status, answer.allow, answer.body]).toEqual([
      405,
      allow,
      { ok: false, reason: 'method-not-allowed' },
    ]);
  });

  test.each([
    '/',
    '/tasks',
    '/tasks/',
    '/tasks/t1',
    '/tasks/t1/',
    '/tasks//events',
    '/tasks/t1/nothing',
    '/tasks/t1/events/more',
    '/tasks/../events',
    '/tasks/%2e%2e/events',
    '/tasks/.%2E/events',
    '/tasks/./events',
    '/tasks/%E0%A4%A/events',
    '/tasks/a%00b/events',
    '/tasks/%1F/events',
    '/tasks/operator/events',
    '/tasks/t1/%E0%A4%A/x',
    '/nothing',
  ])('answers %s with 404', async (path) => {
    const task = await serveLiveTask();
    for (const method of ['GET', 'POST', 'PROPFIND'])
      expect((await raw(method, task.origin, task.auth, path)).status, method).toBe(404);
  });

  test('answers a plain OPTIONS with the allowed methods', async () => {
    const task = await serveLiveTask();
    expect(await raw('OPTIONS', `${task.url}/send`, task.auth)).toMatchObject({ status: 200, allow: 'POST' });
  });
});

describe('other origins', () => {
  const preflight = (url: string, origin: string) =>
    fetch(url, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    });

  test('answers a preflight of a known origin without authorization', async () => {
    const task = await serveLiveTask({ corsOrigins: 'https://ui.example,http://localhost:3000' });
    const { status, headers } = await preflight(`${task.url}/send`, 'https://ui.example');
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe('https://ui.example');
    expect(headers.get('access-control-allow-credentials')).toBe('true');
    expect(headers.get('access-control-allow-headers')).toMatch(/Authorization.*Last-Event-ID/);
    expect(headers.get('access-control-allow-methods')).toContain('POST');
  });

  test('sends the origin on answers, refusals and streams', async () => {
    const task = await serveLiveTask({ corsOrigins: 'https://ui.example' });
    const origin = 'https://ui.example';
    const refused = await fetch(`${task.url}/send`, { method: 'POST', headers: { origin } });
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, origin]);
    const leave = new AbortController();
    const stream = await fetch(`${task.url}/events`, {
      headers: { ...task.auth, origin },
      signal: leave.signal,
    });
    expect(stream.headers.get('access-control-allow-origin')).toBe(origin);
    expect(stream.headers.get('vary')).toBe('Origin');
    leave.abort();
  });

  test('lets in no other origin', async () => {
    const task = await serveLiveTask({ corsOrigins: 'https://ui.example' });
    for (const origin of ['https://ui.example.evil', 'null', 'http://ui.example']) {
      const answer = await preflight(`${task.url}/send`, origin);
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    }
    const none = await serveLiveTask();
    expect(
      (await preflight(`${none.url}/send`, 'https://ui.example')).headers.get('access-control-allow-origin'),
    ).toBeNull();
  });
});

function raw(method: string, url: string, headers: Record<string, string>, path = new URL(url).pathname) {
  const { hostname, port } = new URL(url);
  return new Promise<{ status: number; allow: string | undefined; body: unknown }>((resolve, reject) => {
    const call = request({ method, hostname, port, path, headers }, (response) => {
      text(response).then((body) => {
        const { statusCode, headers } = response;
        resolve({
          status: statusCode!,
          allow: headers.allow,
          body: body.startsWith('{') ? JSON.parse(body) : body,
        });
      }, reject);
    });
    call.once('error', reject);
    call.end();
  });
}
