import { describe, expect, test } from 'vitest';
import type { Decided } from '../../src/session/model/host-context.js';
import { FORM, GRANT, post, serveLiveTask } from './serve-task.js';

describe('permission', () => {
  test('answers a decision once the workflow has it, whole', async () => {
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
    expect(task.decisions).toEqual([argument]);
  });

  test('refuses an answer that lacks what its request needs, and leaves the request open', async () => {
    const task = await serveLiveTask();
    task.session.open.add(FORM.requestId);
    const send = (updated_input?: object) =>
      post(task, 'permission', { request_id: FORM.requestId, behavior: 'allow', updated_input });
    for (const given of [undefined, {}, { content: { other: 1 } }, { content: { approved: null } }])
      expect(await send(given)).toMatchObject({
        status: 400,
        body: { ok: false, reason: 'missing-input', detail: expect.stringContaining('approved') as string },
      });
    expect(task.decisions).toEqual([]);
    expect((await send({ content: { approved: false } })).status).toBe(200);
  });

  test.each(['network', '', [], [{ network: null }], 1, 0, true, false])(
    'grants permissions in part when %j names which',
    async (updated_input) => {
      const task = await serveLiveTask();
      task.session.open.add(GRANT.requestId);
      const decision = { request_id: GRANT.requestId, behavior: 'allow' };
      expect(await post(task, 'permission', { ...decision, updated_input })).toMatchObject({
        status: 400,
        body: { ok: false, reason: 'missing-input', detail: 'updated_input: expected an object' },
      });
      expect(task.decisions).toEqual([]);
      expect((await post(task, 'permission', { ...decision, updated_input: null })).status).toBe(200);
    },
  );

  test('compares a request id as a string', async () => {
    const task = await serveLiveTask();
    task.session.open.add('7');
    expect((await post(task, 'permission', { request_id: 7, behavior: 'allow' })).status).toBe(200);
  });

  test('answers 200 to one of two concurrent decisions and sends one signal', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    let release = () => {};
    const temporal = new Promise<'taken'>((resolve) => (release = () => resolve('taken')));
    task.temporal = () => temporal;
    const both = ['allow', 'deny'].map((behavior) => post(task, 'permission', { request_id: 'r', behavior }));
    expect((await Promise.race(both)).status).toBe(404);
    release();
    expect((await Promise.all(both)).map(({ status }) => status).sort()).toEqual([200, 404]);
    expect(task.decisions).toHaveLength(1);
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).status).toBe(404);
  });

  test('answers 503 with Retry-After without Temporal, and takes the decision later', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    task.temporal = () => Promise.reject(new Error('14 UNAVAILABLE'));
    const refused = await post(task, 'permission', { request_id: 'r', behavior: 'allow' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    task.temporal = () => Promise.resolve('taken');
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).status).toBe(200);
  });

  test('answers 409 for a workflow that is gone', async () => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    task.temporal = () => Promise.resolve('workflow-gone');
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'allow' })).status).toBe(409);
  });

  test.each<[Decided, number, string]>([
    ['settled', 404, 'unknown-request'],
    ['ending', 409, 'closed'],
    [{ missing: 'answers.q1' }, 400, 'missing-input'],
    ['unknown', 503, 'temporal-unreachable'],
  ])('passes on the workflow’s answer %j as %i, and asks it again', async (decided, status, reason) => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    task.temporal = () => Promise.resolve(decided);
    const send = () => post(task, 'permission', { request_id: 'r', behavior: 'deny' });
    for (const _ of [1, 2]) expect(await send()).toMatchObject({ status, body: { ok: false, reason } });
    expect(task.decisions).toHaveLength(2);
  });

  test.each([
    [{ request_id: 'r' }, 400, 'bad-behavior'],
    [{ request_id: 'none', behavior: 'maybe' }, 400, 'bad-behavior'],
    [{ behavior: 'allow' }, 404, 'unknown-request'],
    [{ request_id: ['r'], behavior: 'allow' }, 404, 'unknown-request'],
    [{ request_id: 'none', behavior: 'allow' }, 404, 'unknown-request'],
    [{ request_id: 'r', behavior: 'allow', message: 'x'.repeat(70_000) }, 413, 'too-large'],
  ])('refuses %.60j and leaves the request open', async (body, status, reason) => {
    const task = await serveLiveTask();
    task.session.open.add('r');
    expect(await post(task, 'permission', body)).toMatchObject({ status, body: { ok: false, reason } });
    expect((await post(task, 'permission', { request_id: 'r', behavior: 'deny' })).status).toBe(200);
  });

  test('refuses a deeply nested input without a server error', async () => {
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
