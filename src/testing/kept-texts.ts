import { randomBytes } from 'node:crypto';
import type { Kept } from '../contract/activities.js';
import { TaskError } from '../errors.js';

/** What workflows keep because it is too large to carry, in memory. */
export interface KeptTexts {
  /** Gives the id of what is kept. */
  keep(text: string): string;
  /** @throws TaskError `BadInput` when there is none of this id */
  read(blobId: string): string;
  drop(blobIds: readonly string[]): void;
  /** What the JSON in these pieces holds. @throws as `read` does */
  json(kept: Kept): unknown;
}

export function openKeptTexts(): KeptTexts {
  const texts = new Map<string, string>();
  const read = (blobId: string): string => {
    const text = texts.get(blobId);
    if (text !== undefined) return text;
    throw new TaskError('BadInput', `Blob ${blobId} is not there`);
  };
  return {
    keep(text) {
      const blobId = randomBytes(12).toString('hex');
      texts.set(blobId, text);
      return blobId;
    },
    read,
    drop: (blobIds) => blobIds.forEach((blobId) => texts.delete(blobId)),
    json: ({ blobIds }) => JSON.parse(blobIds.map(read).join('')) as unknown,
  };
}
