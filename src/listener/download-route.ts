import { extname, posix } from 'node:path';
import { Readable } from 'node:stream';
import type { Context } from 'koa';
import type { HostContext } from '../session/model/host-context.js';
import { openWorkFile, type WorkFile } from '../workdir/open-work-file.js';
import { WorkFileFault } from '../workdir/work-file-fault.js';
import { Refusal, unavailable } from './answer.js';
import { rangeOf } from './byte-range.js';
import { absent, knownTask } from './task-access.js';

/** Sends one file below the task's `work`, or the range of it that is asked for. */
export async function sendFile(host: HostContext, ctx: Context): Promise<void> {
  const task = knownTask(host, ctx);
  if (!task) throw absent(host, ctx);
  if (task.kind === 'prepared' && task.parked) throw unavailable('parked');
  if (task.kind === 'recovering') throw unavailable('recovering');
  if (task.kind === 'prepared' || !task.mounted) throw unavailable('starting');
  const { folder, spec } = task.prepared;
  const { path } = ctx.query;
  if (typeof path !== 'string') throw new WorkFileFault('bad-path');
  const file = await openWorkFile(folder.work, path);
  try {
    if (file.size > spec.limits.downloadBytes) throw new WorkFileFault('too-large');
    answer(ctx, file, posix.basename(path));
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

function answer(ctx: Context, file: WorkFile, name: string): void {
  const { size, mtimeMs } = file;
  const tag = `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
  // A range of a file that has changed since would not fit what the client has.
  const ifRange = ctx.get('if-range');
  const range = ifRange === '' || ifRange === tag ? rangeOf(ctx.get('range'), size) : null;
  if (range === 'unsatisfiable') throw new Refusal(416, 'bad-range', { 'Content-Range': `bytes */${size}` });
  const { start, end } = range ?? { start: 0, end: size - 1 };
  ctx.status = range ? 206 : 200;
  if (range) ctx.set('Content-Range', `bytes ${start}-${end}/${size}`);
  ctx.set({ 'Accept-Ranges': 'bytes', ETag: tag, ...NOT_A_PAGE });
  ctx.body = contentOf(file, start, end);
  ctx.length = end - start + 1;
  // Readers of headers differ on all but ASCII.
  ctx.attachment(name, { fallback: name.replace(/[^\x20-\x7e]/g, '?') });
  ctx.type = extname(name) || 'bin';
  if (!ctx.type) ctx.type = 'application/octet-stream';
}

/** What an agent wrote must not act with this origin's rights. */
const NOT_A_PAGE = { 'X-Content-Type-Options': 'nosniff', 'Content-Security-Policy': 'sandbox' };

const READ_BYTES = 128 * 1024;

function contentOf({ handle }: WorkFile, start: number, end: number): Readable {
  let at = start;
  const next = async (): Promise<Buffer | null> => {
    if (at > end) return null;
    const length = Math.min(READ_BYTES, end + 1 - at);
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, at);
    // Cuts the connection: nothing else tells the client that fewer bytes came than announced.
    if (bytesRead === 0) throw new Error('the file became shorter');
    at += bytesRead;
    return buffer.subarray(0, bytesRead);
  };
  return new Readable({
    read() {
      next().then(
        (bytes) => this.push(bytes),
        (error: Error) => this.destroy(error),
      );
    },
    destroy(error, done) {
      handle.close().then(
        () => done(error),
        (cause: Error) => done(error ?? cause),
      );
    },
  });
}
