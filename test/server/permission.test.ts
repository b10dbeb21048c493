import { describe, expect, test } from 'vitest';
import { FORM, post, serveLiveTask } from './serve-task.js';

describe('permission', () => {
  test('a decision is answered when the workflow has it, whole', async () => {
    const task = await serveLiveTask();
    task.session.open.add('1-0');
    const body = {
      request_id: '1-0',
      behavior: 'deny',
      message: 'no',
      updated_input: { a: 1 },
      scope: 'session',
      other: 1,
    };
    expect(await post(task, 'permission', body)).toMatchObject({ status: 200, body: { ok: true } });
    const argument = {
      requestId: '1-0',
      behavior: 'deny',
      decidedBy: 'http',
      message: 'no',
      updatedInput: { a: 1 },
      scope: 'session',
    };
    expect(task.signals).toEqual([{ name: 'permissionDecision', argument }]);
  });

  test('an answer without what its request needs is refused, names it, and leaves the request open', async () => {
    const task = await serveLiveTask();
    task.session.open.add(FORM.requestId);
    const send = (updated_input?: object) =>
      post(task, 'permission', { request_id: FORM.requestId, behavior: 'allow', updated_input });
    for (const given of [undefined, {}, { content: { other: 1 } }, { content: { approved: null } }])
      expect(await send(given)).toMatchObject({
        status: 400,
        body: { ok: false, reason: 'missing-input', detail: expect.stringContaining('approved') as string },
      });
    expect(task.signals).toEqual([]);
    expect((await send({ content: { approved: false } })).status).toBe(200);
  });

  test('a request id is compared as a string', async () => {
    const task = await serveLiveTask();
    task.session.open.add('7');
    expect((await post(task, 'permission', { request_id: 7, behavior: 'allow' })).status).toBe(200);
  });

  test('of two at once exactly one is 200, the other 404, and one signal goes out', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    let release = () => {};
    const temporal = new Promise<'sent'>((resolve) => (release = () => resolve('sent')));
    task.temporal = () => temporal;
    const both = ['allow', 'deny'].map((behavior) => post(task, 'permission', { request_id: 'r', behavior }));
    expect((await Promise.race(both)).status).toBe(404);
    release();
    expect((await Promise.all(both)).map(({ status }) => status).sort()).toEqual([200, 404]);
    expect(task.signals).toHaveLength(1);
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).status).toBe(404);
  });

  test('without Temporal it is 503 with Retry-After, and can be decided afterwards', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    task.temporal = () => Promise.reject(new Error('14 UNAVAILABLE'));
    const refused = await post(task, 'permission', { request_id: 'r', behavior: 'allow' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    task.temporal = () => Promise.resolve('sent');
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).status).toBe(200);
  });

  test('a workflow that is gone is 409', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    task.temporal = () => Promise.resolve('workflow-gone');
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).status).toBe(409);
  });

  test.each([
    [{ request_id: 'r' }, 400, 'bad-behavior'],
    [{ request_id: 'none', behavior: 'maybe' }, 400, 'bad-behavior'],
    [{ behavior: 'allow' }, 404, 'unknown-request'],
    [{ request_id: ['r'], behavior: 'allow' }, 404, 'unknown-request'],
    [{ request_id: 'none', behavior: 'allow' }, 404, 'unknown-request'],
    [{ request_id: 'r', behavior: 'allow', message: 'x'.repeat(70_000) }, 413, 'too-large'],
  ])('%.60j is refused and leaves the request open', async (body, status, reason) => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    expect(await post(task, 'permission', body)).toMatchObject({ status, body: { ok: false, reason } });
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'deny' })).status).toBe(200);
  });

  test('an input nested without end is refused, not a fault of ours', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const { status } = await post(
      task,
      'permission',
      `{"request_id":"r","behavior":"allow","updated_input":${deep}}`,
    );
    expect([400, 413]).toContain(status);
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'deny' })).status).toBe(200);
  });
});
