import { deleteBlob, putBlob, readBlob } from './blobs.js';
import { TaskError } from '../errors.js';
import type { Store } from './mongo.js';

/** Texts that a task's workflow cannot carry: pieces of JSON, each a blob of its own. */

/** Name of such a blob. */
export const TEXT_BLOB = 'text';

/** Stores one piece; its id in hex once it is durable. */
export const keepText = (
  store: Store,
  { taskId, runId }: { taskId: string; runId: string },
  text: string,
): Promise<string> =>
  putBlob(store, Buffer.from(text), {
    filename: TEXT_BLOB,
    metadata: { taskId, runId, prefix: store.prefix },
  });

/** One piece. @throws TaskError `BadInput` when it is missing or damaged */
export const readText = async (store: Store, blobId: string): Promise<string> =>
  (await readBlob(store, blobId)).toString('utf8');

/** What the JSON in these pieces holds; null when a piece of it is missing or damaged: it will never be there again. */
export async function readKeptJson(store: Store, blobIds: readonly string[]): Promise<unknown> {
  const pieces: string[] = [];
  try {
    for (const id of blobIds) pieces.push(await readText(store, id));
  } catch (error) {
    if (error instanceof TaskError && error.code === 'BadInput') return null;
    throw error;
  }
  return JSON.parse(pieces.join(''));
}

/** Removes them. Idempotent. */
export async function dropTexts(store: Store, blobIds: readonly string[]): Promise<void> {
  for (const id of blobIds) await deleteBlob(store, id);
}
