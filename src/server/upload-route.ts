import type { Context } from 'koa';
import type { HostContext } from '../session/host-context.js';
import { storeUpload, uploadName, UPLOADS } from '../session/store-upload.js';
import { ok, Refusal } from './answer.js';
import { boundaryOf, MultipartFault, readParts } from './multipart.js';
import { liveTask } from './task-access.js';

/** Stores each part named `file`. When one is refused, those before it stay. */
export async function takeUploads(host: HostContext, ctx: Context): Promise<void> {
  const { folder, spec } = liveTask(host, ctx).prepared;
  const boundary = boundaryOf(ctx.get('content-type'));
  if (boundary === null) throw new Refusal(400, 'bad-multipart');
  const files: { filename: string; path: string }[] = [];
  try {
    for await (const part of readParts(ctx.req.iterator({ destroyOnReturn: false }), boundary)) {
      if (part.name !== 'file') continue;
      const filename = uploadName(part.filename ?? '');
      if (filename === null) throw new Refusal(400, 'bad-multipart');
      await storeUpload(folder.work, filename, part.content, spec.limits.uploadBytes);
      files.push({ filename, path: `${UPLOADS}/${filename}` });
    }
  } catch (error) {
    throw error instanceof MultipartFault || isCutOff(error) ? new Refusal(400, 'bad-multipart') : error;
  }
  if (files.length === 0) throw new Refusal(400, 'bad-multipart');
  ok(ctx, { files });
}

const isCutOff = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ECONNRESET';
