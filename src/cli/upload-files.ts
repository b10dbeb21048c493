import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { CodexTaskInput } from '../contract/index.js';
import { reasonOf, TaskError } from '../errors.js';
import type { CliIo } from './io.js';
import { withStore } from './with-store.js';

/** A file of this machine that a task gets. */
export interface LocalFile {
  readonly local: string;
  /** Where it lies below the task's `work`. */
  readonly path: string;
}

/** `LOCAL:PATH`, or `LOCAL` alone for the same name at the top of the workdir. */
export function localFileOf(text: string): LocalFile {
  const colon = text.lastIndexOf(':');
  if (colon === -1 && text !== '') return { local: text, path: basename(text) };
  if (colon > 0 && colon < text.length - 1)
    return { local: text.slice(0, colon), path: text.slice(colon + 1) };
  throw new TaskError('BadInput', `--file: expected LOCAL:PATH, got ${JSON.stringify(text)}`);
}

/** Names no blob; stands for one until the input is known to be right. */
const NOT_YET = '0'.repeat(24);

/** The input with these files after its own, as it will be. */
export const withFiles = (
  input: CodexTaskInput,
  files: readonly LocalFile[],
  blobIds: readonly string[] = [],
): CodexTaskInput =>
  files.length === 0
    ? input
    : {
        ...input,
        files: [
          ...(input.files ?? []),
          ...files.map(({ path }, i) => ({ path, blobId: blobIds[i] ?? NOT_YET })),
        ],
      };

/**
 * Stores the files in the task's database and returns their blobs' ids.
 * @throws TaskError `BadInput` naming a file that cannot be read; `Unavailable`
 */
export async function uploadFiles(io: CliIo, taskId: string, files: readonly LocalFile[]): Promise<string[]> {
  for (const { local } of files) {
    const found = await stat(local).catch((error: unknown) => {
      throw new TaskError('BadInput', `--file ${local}: ${reasonOf(error)}`);
    });
    if (!found.isFile()) throw new TaskError('BadInput', `--file ${local}: expected a file`);
  }
  return withStore(io, async (store) => {
    const { putBlob } = await import('../store/blobs.js');
    const ids: string[] = [];
    for (const { local, path } of files) {
      const metadata = { processId: taskId, taskId, prefix: store.prefix, path };
      ids.push(await putBlob(store, createReadStream(local), { filename: 'file', metadata }));
    }
    return ids;
  });
}
