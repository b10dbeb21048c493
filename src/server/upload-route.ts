import type { Context } from 'koa';
import type { HostContext } from '../session/host-context.js';
import { storeUpload, uploadName, UPLOADS } from '../session/snapshots/store-upload.js';
import { ok, Refusal } from './answer.js';
import { boundaryOf, MultipartFault, readParts } from './multipart.js';
import { liveTask } from './task-access.js';

/** Stores each part named `file`. When one is refused, those before it stay. */
export async function takeUploads(host: HostContext, ctx: Context): Promise<void> {
  const { prepared, session } = liveTask(host, ctx);
  const { folder, spec } = prepared;
  const boundary = boundaryOf(ctx.get('content-type'));
  if (boundary === null) throw new Refusal(400, 'bad-multipart');
  const files: { filename: string; path: string }[] = [];
  try {
    for await (const part of readParts(ctx.req.iterator({ destroyOnReturn: false }), boundary)) {
      if (part.name !== 'file') continue;
      const filename = uploadName(part.filename ?? '');
      if (filename === null) throw new Refusal(400, 'bad-multipart');
      const bytes = await storeUpload(folder.work, filename, part.content, spec.limits.uploadBytes);
      const path = `${UPLOADS}/${filename}`;
      files.push({ filename, path });
      if (spec.hooks.onUpload) await session.channel.uploaded(path, bytes);
    }
  } catch (error) {
    throw error instanceof MultipartFault || isCutOff(error) ? new Refusal(400, 'bad-multipart') : error;
  }
  if (files.length === 0) throw new Refusal(400, 'bad-multipart');
  ok(ctx, { files });
}

const isCutOff = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ECONNRESET';
