import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { serveLiveTask, type ServedTask } from './serve-task.js';

const get = (task: ServedTask, path: string, init: RequestInit = {}) =>
  fetch(`${task.url}/download?path=${encodeURIComponent(path)}`, {
    ...init,
    headers: { ...task.auth, ...init.headers },
  });

async function withFile(name = 'a.txt', content: string | Buffer = '0123456789'): Promise<ServedTask> {
  const task = await serveLiveTask({ limits: { downloadBytes: 1_000_000 } });
  await writeFile(join(task.folder.work, name), content);
  return task;
}

describe('download', () => {
  test('answers with the bytes, their type and their name', async () => {
    const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 31) % 256));
    const task = await withFile('image.png', bytes);
    const response = await get(task, 'image.png');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('image/png');
    expect(response.headers.get('content-length')).toBe('700000');
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="image.png"');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
  });

  test.each([
    ['a.txt', 'text/plain; charset=utf-8'],
    ['a.json', 'application/json; charset=utf-8'],
    ['a.unknown-kind', 'application/octet-stream'],
    ['none', 'application/octet-stream'],
    ['.profile', 'application/octet-stream'],
  ])('answers %s with %s', async (name, type) => {
    expect((await get(await withFile(name), name)).headers.get('content-type')).toBe(type);
  });

  test.each(['say "hi".txt', 'ünï.txt', 'a\nb.txt', 'a;b.txt', '\u{1F600}.txt'])(
    'escapes the name %j',
    async (name) => {
      const task = await withFile(name);
      const response = await get(task, name);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-disposition')).toMatch(
        /^attachment; filename="(?:\\.|[\x20-\x21\x23-\x7e])*"(; filename\*=UTF-8''[\w%.!#$&+^`|~-]+)?$/,
      );
    },
  );

  test('answers HEAD with the headers alone', async () => {
    const response = await get(await withFile(), 'a.txt', { method: 'HEAD' });
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([
      200,
      '10',
      '',
    ]);
  });

  test('answers an empty file without bytes', async () => {
    const response = await get(await withFile('e', ''), 'e');
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([
      200,
      '0',
      '',
    ]);
  });

  test.each([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=5-999', 206, '56789', 'bytes 5-9/10'],
    ['bytes=-999', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=10-', 416, null, 'bytes */10'],
    ['bytes=-0', 416, null, 'bytes */10'],
    ['bytes=4-2', 200, '0123456789', null],
    ['bytes=0-1,3-4', 200, '0123456789', null],
    ['lines=0-1', 200, '0123456789', null],
    ['bytes=-', 200, '0123456789', null],
  ])('answers range %s with %i', async (range, status, content, contentRange) => {
    const response = await get(await withFile(), 'a.txt', { headers: { range } });
    expect([response.status, response.headers.get('content-range')]).toEqual([status, contentRange]);
    const body = await response.text();
    if (content !== null)
      expect([body, response.headers.get('content-length')]).toEqual([content, String(content.length)]);
  });

  test('answers a range of a file that has changed since with the whole file', async () => {
    const task = await withFile();
    const tag = (await get(task, 'a.txt')).headers.get('etag')!;
    const ask = (etag: string) => get(task, 'a.txt', { headers: { range: 'bytes=0-1', 'if-range': etag } });
    expect((await ask(tag)).status).toBe(206);
    expect((await ask('"other"')).status).toBe(200);
  });

  test.each([
    ['../home/auth.json', 403, 'forbidden'],
    ['sub/../../home/auth.json', 403, 'forbidden'],
    ['/etc/passwd', 403, 'forbidden'],
    ['..', 403, 'forbidden'],
    ['out-file', 403, 'forbidden'],
    ['out-folder/auth.json', 403, 'forbidden'],
    ['device', 403, 'forbidden'],
    ['missing', 404, 'not-found'],
    ['dangling', 404, 'not-found'],
    ['loop', 404, 'not-found'],
    ['a.txt/below', 404, 'not-found'],
    ['x'.repeat(300), 404, 'not-found'],
    ['sub', 400, 'bad-path'],
    ['.', 400, 'bad-path'],
    ['', 400, 'bad-path'],
    ['a\0b', 400, 'bad-path'],
    ['fifo', 400, 'bad-path'],
    ['large', 413, 'too-large'],
  ])('answers %j with %i %s', async (path, status, reason) => {
    const task = await withFile();
    const { work, home } = task.folder;
    const at = (name: string) => join(work, name);
    await mkdir(at('sub'));
    await writeFile(join(home, 'auth.json'), 'secret');
    await writeFile(at('large'), Buffer.alloc(1_000_001));
    await symlink(join(home, 'auth.json'), at('out-file'));
    await symlink('../home', at('out-folder'));
    await symlink('/dev/null', at('device'));
    await symlink('nowhere', at('dangling'));
    await symlink('loop', at('loop'));
    execFileSync('mkfifo', [at('fifo')]);
    const response = await get(task, path);
    expect([response.status, await response.json()]).toEqual([status, { ok: false, reason }]);
  });

  test('follows a link to the inside, and allows a file of exactly the limit', async () => {
    const task = await withFile('exact', Buffer.alloc(1_000_000));
    await symlink('exact', join(task.folder.work, 'link'));
    expect((await (await get(task, 'link')).arrayBuffer()).byteLength).toBe(1_000_000);
  });

  test('answers no path, or several, with 400', async () => {
    const task = await withFile();
    for (const query of ['', '?path=a&path=b', '?other=a'])
      expect((await fetch(`${task.url}/download${query}`, { headers: task.auth })).status).toBe(400);
  });

  test('closes every file', async () => {
    const { readdirSync, readlinkSync } = await import('node:fs');
    const { until } = await import('../support/until.js');
    const task = await withFile();
    await Promise.all(['a.txt', '.', 'missing'].map(async (path) => (await get(task, path)).arrayBuffer()));
    await get(task, 'a.txt', { method: 'HEAD' });
    await get(task, 'a.txt', { headers: { range: 'bytes=99-' } });
    const isOpen = (fd: string) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(task.folder.work);
      } catch {
        return false;
      }
    };
    await until('all are closed', () => !readdirSync('/proc/self/fd').some(isOpen));
  });
});
