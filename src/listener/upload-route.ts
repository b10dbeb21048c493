import type { Context } from 'koa';
import type { HostContext } from '../session/model/host-context.js';
import { storeUpload, uploadName, UPLOADS } from '../workdir/store-upload.js';
import { ok, Refusal } from './answer.js';
import { boundaryOf, MultipartFault, readParts } from './multipart.js';
import { bodyPieces } from './silent-body.js';
import { absent, liveTask, requireOpenTask } from './task-access.js';

/** Files of one request, and what they may hold together, as a multiple of the limit of one. */
const MAX_FILES = 100;
const MAX_SHARE = 10;

/**
 * Stores each part named `file`. When one is refused, those before it stay.
 * @throws Refusal; 409 when the task began to close meanwhile
 */
export async function takeUploads(host: HostContext, ctx: Context): Promise<void> {
  const { prepared, session } = liveTask(host, ctx);
  const { folder, spec, ref } = prepared;
  const boundary = boundaryOf(ctx.get('content-type'));
  if (boundary === null) throw new Refusal(400, 'bad-multipart');
  let left = MAX_SHARE * spec.limits.uploadBytes;
  const files: { filename: string; path: string }[] = [];
  try {
    for await (const part of readParts(bodyPieces(ctx.req), boundary)) {
      if (part.name !== 'file') continue;
      const filename = uploadName(part.filename ?? '');
      // The earlier one would be told as stored with the later one's content.
      if (filename === null || files.some((each) => each.filename === filename))
        throw new Refusal(400, 'bad-multipart');
      if (files.length === MAX_FILES) throw new Refusal(413, 'too-large');
      const room = Math.min(spec.limits.uploadBytes, left);
      const bytes = await storeUpload(folder.work, filename, part.content, room);
      left -= bytes;
      const path = `${UPLOADS}/${filename}`;
      files.push({ filename, path });
      if (spec.hooks.onUpload) await session.channel.uploaded(path, bytes);
    }
  } catch (error) {
    throw error instanceof MultipartFault || isCutOff(error) ? new Refusal(400, 'bad-multipart') : error;
  }
  if (files.length === 0) throw new Refusal(400, 'bad-multipart');
  // What came when the session was closing already may be in no snapshot.
  if (requireOpenTask(host, ctx).ref.assignmentId !== ref.assignmentId) throw absent(host, ctx);
  ok(ctx, { files });
}

const isCutOff = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ECONNRESET';
