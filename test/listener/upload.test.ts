import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';
import { post, serveLiveTask, type ServedTask } from './serve-task.js';

const BOUNDARY = 'x-boundary';
const part = (name: string, content: string | Buffer, field = 'file') =>
  Buffer.concat([
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\n\r\n`,
    ),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
const whole = (...parts: Buffer[]) => Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
const type = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };

async function upload(task: ServedTask, body: Buffer, headers = type) {
  const response = await fetch(`${task.url}/upload`, {
    method: 'POST',
    headers: { ...task.auth, ...headers },
    body,
  });
  return { status: response.status, body: await response.json() };
}
const uploads = (task: ServedTask) => join(task.folder.work, 'uploads');

describe('upload', () => {
  test('stores several files of a browser’s form with names and bytes unchanged', async () => {
    const task = await serveLiveTask();
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
    const form = new FormData();
    form.append('file', new Blob([bytes]), 'ä b.bin');
    form.append('other', 'ignored');
    form.append('file', new Blob(['two\r\n--not a boundary\r\n']), 'two.txt');
    form.append('file', new Blob([]), 'empty');
    const files = ['ä b.bin', 'two.txt', 'empty'].map((filename) => ({
      filename,
      path: `uploads/${filename}`,
    }));
    expect(await post(task, 'upload', form)).toMatchObject({ status: 200, body: { ok: true, files } });
    expect(await readFile(join(uploads(task), 'ä b.bin'))).toEqual(bytes);
    expect(await readFile(join(uploads(task), 'two.txt'), 'utf8')).toBe('two\r\n--not a boundary\r\n');
    expect((await readdir(uploads(task))).sort()).toEqual(['empty', 'two.txt', 'ä b.bin'].sort());
  });

  test('ignores a quoted filename that looks like a parameter', async () => {
    const task = await serveLiveTask();
    expect(await upload(task, whole(part('; name=file', 'x', 'other')))).toMatchObject({
      status: 400,
      body: { ok: false, reason: 'bad-multipart' },
    });
  });

  test('overwrites a file of the same name', async () => {
    const task = await serveLiveTask();
    for (const content of ['one', 'two'])
      expect((await upload(task, whole(part('a', content)))).status).toBe(200);
    expect(await readFile(join(uploads(task), 'a'), 'utf8')).toBe('two');
  });

  test.each([
    ['/etc/passwd', 'passwd'],
    ['C:\\dir\\a b.txt', 'a b.txt'],
    ['../../up', 'up'],
    ['say %22hi%22', 'say "hi"'],
    ['.hidden', '.hidden'],
  ])('stores %s as %s', async (given, name) => {
    const task = await serveLiveTask();
    expect(await upload(task, whole(part(given, 'x')))).toMatchObject({
      status: 200,
      body: { files: [{ filename: name }] },
    });
    expect(await readdir(uploads(task))).toEqual([name]);
  });

  test.each(['', '.', '..', 'a/..', 'dir/', 'a\tb', 'a%0Ab', 'x'.repeat(256)])(
    'refuses the name %j with 400',
    async (name) => {
      const task = await serveLiveTask();
      expect(await upload(task, whole(part(name, 'x')))).toMatchObject({
        status: 400,
        body: { ok: false, reason: 'bad-multipart' },
      });
    },
  );

  test.each([
    ['no multipart', Buffer.from('text'), { 'content-type': 'text/plain' }],
    ['no boundary', Buffer.from('text'), { 'content-type': 'multipart/form-data' }],
    ['nothing', Buffer.from(''), type],
    ['no part', whole(), type],
    ['no part named file', whole(part('a', 'x', 'files')), type],
    ['a part without end', part('a', 'x'), type],
    ['headers without end', Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: ${'x'.repeat(40_000)}`), type],
  ])('refuses %s with 400 bad-multipart', async (_what, body, headers) => {
    const task = await serveLiveTask();
    expect(await upload(task, body, headers)).toMatchObject({
      status: 400,
      body: { ok: false, reason: 'bad-multipart' },
    });
    expect(await readdir(uploads(task)).catch(() => [])).toEqual([]);
  });

  test('refuses a file over the limit with 413, and keeps the files before it', async () => {
    const task = await serveLiveTask({ limits: { uploadBytes: 1_000 } });
    const body = whole(
      part('fits', 'x'.repeat(1_000)),
      part('large', Buffer.alloc(5_000_000)),
      part('after', 'x'),
    );
    expect(await upload(task, body)).toMatchObject({ status: 413, body: { ok: false, reason: 'too-large' } });
    expect(await readdir(uploads(task))).toEqual(['fits']);
    expect((await post(task, 'interrupt')).status).toBe(200);
  });

  test('refuses an upload with 409 when the task closes during it', async () => {
    const task = await serveLiveTask();
    const body = whole(part('first', 'x'), part('late', 'y'));
    const answer = fetch(`${task.url}/upload`, {
      method: 'POST',
      headers: { ...task.auth, ...type },
      body: new ReadableStream({
        async start(controller) {
          controller.enqueue(body.subarray(0, -40));
          await until('the first', async () =>
            (await readdir(uploads(task)).catch((): string[] => [])).includes('first'),
          );
          task.session.closed = true;
          controller.enqueue(body.subarray(-40));
          controller.close();
        },
      }),
      duplex: 'half',
    });
    expect((await answer).status).toBe(409);
    expect(await (await answer).json()).toEqual({ ok: false, reason: 'closed' });
  });

  test('refuses a name that comes twice with 400, and keeps the first file', async () => {
    const task = await serveLiveTask();
    const body = whole(part('a', 'one'), part('x/a', 'two'));
    expect(await upload(task, body)).toEqual({ status: 400, body: { ok: false, reason: 'bad-multipart' } });
    expect(await readFile(join(uploads(task), 'a'), 'utf8')).toBe('one');
  });

  test('leaves nothing of a client that breaks off', async () => {
    const task = await serveLiveTask();
    const { hostname, port, pathname } = new URL(task.url);
    const socket = connect(Number(port), hostname);
    const head = `POST ${pathname}/upload HTTP/1.1\r\nHost: x\r\nAuthorization: ${task.auth.authorization}\r\nContent-Type: ${type['content-type']}\r\nContent-Length: 1000000\r\n\r\n`;
    socket.write(head);
    socket.write(part('cut', 'x'.repeat(10_000)));
    await until('a temporary file', async () => (await readdir(uploads(task)).catch(() => [])).length === 1);
    socket.destroy();
    await until('it is gone', async () => (await readdir(uploads(task))).length === 0);
  });

  test('writes nothing through a link that the agent made', async () => {
    const task = await serveLiveTask();
    const outside = await testFolder();
    await symlink(outside, uploads(task));
    expect(await upload(task, whole(part('a', 'x')))).toMatchObject({
      status: 403,
      body: { ok: false, reason: 'forbidden' },
    });
    await rm(uploads(task));
    await mkdir(uploads(task));
    await writeFile(join(outside, 'victim'), 'before');
    await symlink(join(outside, 'victim'), join(uploads(task), 'a'));
    expect((await upload(task, whole(part('a', 'after')))).status).toBe(200);
    expect(await readFile(join(outside, 'victim'), 'utf8')).toBe('before');
    expect(await readdir(outside)).toEqual(['victim']);
  });

  test('refuses a folder in the file’s place with 400, a file in the folder’s with 403', async () => {
    const task = await serveLiveTask();
    await writeFile(uploads(task), '');
    expect((await upload(task, whole(part('a', 'x')))).status).toBe(403);
    await rm(uploads(task));
    await mkdir(join(uploads(task), 'a', 'full'), { recursive: true });
    expect(await upload(task, whole(part('a', 'x')))).toMatchObject({
      status: 400,
      body: { reason: 'bad-path' },
    });
    expect(await readdir(uploads(task))).toEqual(['a']);
  });
});
