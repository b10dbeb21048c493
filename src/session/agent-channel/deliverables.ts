import { isAbsolute, relative, sep } from 'node:path';
import { realpath } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Deliverable } from '../../contract/index.js';
import { findBlob, putBlob } from '../../store/blobs.js';
import type { Store } from '../../store/mongo.js';
import { contentTypeOf } from '../../workdir/content-type.js';
import { openWorkFile, realPathOf, type WorkFile } from '../../workdir/open-work-file.js';
import { WorkFileFault } from '../../workdir/work-file-fault.js';

/** Where deliverables lie below a workdir. */
export const DELIVERABLES = 'deliverables';

/** Why a file is refused; the message is for the agent. */
export class DeliverableFault extends Error {}

export interface CollectOptions {
  readonly store: Store;
  readonly taskId: string;
  readonly work: string;
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

/**
 * Stores a file that the agent named, relative to `work` or by its absolute path. The open file must lie strictly
 * below `deliverables`.
 * @throws DeliverableFault with the reason for the agent
 */
export async function collectDeliverable(
  { store, taskId, work, maxBytes, signal }: CollectOptions,
  named: string,
): Promise<Deliverable & { blobId: string }> {
  const given = isAbsolute(named) ? relative(work, named) : named;
  const file = await openWorkFile(work, given).catch((error: unknown) => {
    throw error instanceof WorkFileFault ? new DeliverableFault(REASONS[error.kind]) : error;
  });
  try {
    const path = await pathBelow(work, file);
    if (file.size > maxBytes) throw new DeliverableFault(`it is over ${maxBytes} bytes`);
    const contentType = contentTypeOf(path);
    const metadata = { taskId, prefix: store.prefix, path, contentType };
    const blobId = await putBlob(store, contentOf(file), {
      filename: 'deliverable',
      metadata,
      ...(signal && { signal }),
    });
    // Uses size and hash of the stored blob, whatever became of the file.
    const stored = await findBlob(store, blobId);
    return { path, bytes: stored!.length, sha256: stored!.metadata['sha256'] as string, contentType, blobId };
  } finally {
    await file.handle.close();
  }
}

async function pathBelow(work: string, { handle }: WorkFile): Promise<string> {
  const path = relative(await realpath(work), await realPathOf(handle, work));
  if (path.startsWith(DELIVERABLES + sep)) return path;
  throw new DeliverableFault(REASONS.forbidden);
}

/** Reads as much as the file had when it was opened. */
const contentOf = ({ handle, size }: WorkFile): Readable | Buffer =>
  size === 0 ? Buffer.alloc(0) : handle.createReadStream({ start: 0, end: size - 1, autoClose: false });

const REASONS = {
  'not-found': 'there is no such file',
  forbidden: `it is not below ${DELIVERABLES}/`,
  'bad-path': 'it is no file',
  'too-large': 'it is too large',
} as const;
