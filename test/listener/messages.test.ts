import { connect } from 'node:net';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../support/until.js';
import { post, serveLiveTask } from './serve-task.js';

describe('JSON bodies', () => {
  test.each(['send', 'model', 'control', 'permission'])(
    '%s: a body that is no JSON object is 400 bad-json',
    async (route) => {
      const task = await serveLiveTask();
      for (const body of ['', '{', '[]', 'null', '3', '"text"', 'a=b', '\0'])
        expect(await post(task, route, body)).toMatchObject({
          status: 400,
          body: { ok: false, reason: 'bad-json' },
        });
    },
  );

  test.each(['send', 'model', 'control', 'permission'])(
    '%s: a body above 8 MiB is 413, and the connection stays open',
    async (route) => {
      const task = await serveLiveTask();
      const body = JSON.stringify({ text: 'x'.repeat(8 * 1024 * 1024) });
      expect(await post(task, route, body)).toMatchObject({
        status: 413,
        body: { ok: false, reason: 'too-large' },
      });
      expect((await post(task, 'interrupt')).status).toBe(200);
    },
  );

  test.each(['send', 'upload'])(
    '%s: the rest of a refused body does not delay the next request',
    async (route) => {
      const task = await serveLiveTask();
      const { hostname, port, pathname } = new URL(task.url);
      const socket = connect(Number(port), hostname);
      onTestFinished(() => void socket.destroy());
      let answers = '';
      socket.on('data', (bytes) => (answers += bytes.toString('latin1')));
      const head = (route: string, length: number) =>
        `POST ${pathname}/${route} HTTP/1.1\r\nHost: x\r\nAuthorization: ${task.auth.authorization}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${length}\r\n\r\n`;
      const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
      socket.write(`${head(route, part.length + 20_000_000)}${part}`);
      socket.write(Buffer.alloc(20_000_000, 'x'));
      socket.write(head('interrupt', 0));
      await until('both answers', () => /413 Payload[^]*HTTP\/1.1 200 OK/.test(answers));
    },
  );

  test('accepts any Content-Type', async () => {
    const task = await serveLiveTask();
    for (const type of [
      'application/json',
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'no type',
    ])
      expect((await post(task, 'send', { text: type }, { 'content-type': type })).status, type).toBe(200);
    expect(task.session.messages).toHaveLength(5);
  });
});

describe('send', () => {
  test('takes null as absent', async () => {
    const task = await serveLiveTask();
    const body = { text: 'hi', messageId: null, steer: null, images: null };
    expect(await post(task, 'send', body)).toMatchObject({ status: 200, body: { ok: true } });
    expect(await post(task, 'send', { text: null })).toMatchObject({
      status: 400,
      body: { reason: 'bad-text' },
    });
  });

  test('hands the text on byte for byte, once for each messageId', async () => {
    const task = await serveLiveTask();
    const text = ' “ä” \u{1F600}\r\n\ttext ';
    expect(await post(task, 'send', { text, messageId: 'm1' })).toMatchObject({
      status: 200,
      body: { ok: true, messageId: 'm1' },
    });
    expect(await post(task, 'send', { text: 'other', messageId: 'm1' })).toMatchObject({
      status: 200,
      body: { ok: true, messageId: 'm1' },
    });
    const made = (await post(task, 'send', { text: 'b', steer: true })).body as { messageId: string };
    expect(task.session.messages).toEqual([
      { messageId: 'm1', text },
      { messageId: made.messageId, text: 'b', steer: true },
    ]);
  });

  test.each([
    [{}, 400, 'bad-text'],
    [{ text: '' }, 400, 'bad-text'],
    [{ text: 5 }, 400, 'bad-text'],
    [{ text: 'a', messageId: '' }, 400, 'bad-message-id'],
    [{ text: 'a', messageId: 7 }, 400, 'bad-message-id'],
    [{ text: 'a', messageId: 'x'.repeat(257) }, 400, 'bad-message-id'],
    [{ text: 'x'.repeat(1_048_577) }, 413, 'too-large'],
    [{ text: 'a', images: 'x.png' }, 400, 'bad-images'],
    [{ text: 'a', images: [{ path: 5 }] }, 400, 'bad-images'],
    [{ text: 'a', images: [{ path: 'missing.png' }] }, 400, 'bad-images'],
    [{ text: 'a', images: [{ path: '../home/secret' }] }, 400, 'bad-images'],
    [{ text: 'a', images: [{ path: 'out.png' }] }, 400, 'bad-images'],
  ])('refuses %j', async (body, status, reason) => {
    const task = await serveLiveTask();
    await writeFile(join(task.folder.home, 'secret'), 's');
    await symlink(join(task.folder.home, 'secret'), join(task.folder.work, 'out.png'));
    expect(await post(task, 'send', body)).toMatchObject({ status, body: { ok: false, reason } });
    expect(task.session.messages).toEqual([]);
  });

  test('refuses a schema that is none of strict mode, by the place of what is wrong', async () => {
    const task = await serveLiveTask();
    const object = { type: 'object', properties: {}, required: [], additionalProperties: false };
    const refused: [unknown, string][] = [
      ['x', 'outputSchema: expected an object, got "x"'],
      [{ ...object, required: null }, 'outputSchema.required: expected an array of names, got null'],
      [
        { ...object, properties: { a: { type: 'string', pattern: '(' } }, required: ['a'] },
        'outputSchema.properties.a.pattern: expected a regular expression, got "("',
      ],
    ];
    for (const [outputSchema, detail] of refused)
      expect(await post(task, 'send', { text: 'a', outputSchema })).toMatchObject({
        status: 400,
        body: { ok: false, reason: 'bad-output-schema', detail: expect.stringContaining(detail) as string },
      });
    const message = { text: 'a', messageId: 'm', outputSchema: object };
    expect((await post(task, 'send', message)).status).toBe(200);
    expect(task.session.messages).toEqual([message]);
  });

  test('counts characters, not code units, and takes images below work only', async () => {
    const task = await serveLiveTask();
    await writeFile(join(task.folder.work, 'a.png'), 'png');
    const text = '\u{1F600}'.repeat(1_048_576);
    expect((await post(task, 'send', { text })).status).toBe(200);
    expect((await post(task, 'send', { text: `${text}x` })).status).toBe(413);
    expect((await post(task, 'send', { text: 'see', images: [{ path: 'a.png', more: 1 }] })).status).toBe(
      200,
    );
    expect(task.session.messages[1]).toMatchObject({ images: [{ path: 'a.png' }] });
  });

  test('replaces a lone surrogate by U+FFFD', async () => {
    const task = await serveLiveTask();
    await post(task, 'send', '{"text":"a\\ud800b"}');
    expect(task.session.messages[0]!.text).toBe('a\uFFFDb');
  });
});

describe('interrupt, control, model', () => {
  test('ignores the body of interrupt', async () => {
    const task = await serveLiveTask();
    expect(await post(task, 'interrupt', 'anything')).toMatchObject({ status: 200, body: { ok: true } });
    expect(task.session.interrupts).toBe(1);
  });

  test('takes any value for control, and sets the model by it', async () => {
    const task = await serveLiveTask();
    for (const body of [
      { id: 'model', value: 'm' },
      { id: 'other', value: { a: [1] } },
      { id: 'reasoning_effort' },
    ])
      expect((await post(task, 'control', body)).status).toBe(200);
    expect((await post(task, 'model', { model: 'm2' })).status).toBe(200);
    expect(task.session.controls).toEqual([
      { id: 'model', value: 'm' },
      { id: 'other', value: { a: [1] } },
      { id: 'reasoning_effort' },
      { id: 'model', value: 'm2' },
    ]);
  });

  test.each([
    ['control', {}, 'bad-id'],
    ['control', { id: '' }, 'bad-id'],
    ['control', { id: 3 }, 'bad-id'],
    ['control', { id: 'm'.repeat(257) }, 'bad-id'],
    ['control', { id: 'model', value: 'm'.repeat(257) }, 'bad-value'],
    ['control', { id: 'model', value: ['m'.repeat(257)] }, 'bad-value'],
    ['model', {}, 'bad-model'],
    ['model', { model: 'm'.repeat(257) }, 'bad-model'],
    ['model', { model: '' }, 'bad-model'],
    ['model', { model: [] }, 'bad-model'],
  ])('refuses %s %j', async (route, body, reason) => {
    const task = await serveLiveTask();
    expect(await post(task, route, body)).toMatchObject({ status: 400, body: { ok: false, reason } });
  });
});
