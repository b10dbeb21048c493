import type * as BlobsModule from '../../../src/store/blobs.js';
import type { BlobOptions, ModelStore } from './backends.js';

const isModelled = (store: object): store is ModelStore => 'blobs' in store;

/** The blobs of `src/store` with those of the model beside them: a crash may come between one and what names it. */
export const withModelBlobs = (actual: typeof BlobsModule): object => ({
  ...actual,
  putBlob: (store: ModelStore, content: Uint8Array, options: BlobOptions) =>
    isModelled(store)
      ? store.write(() => store.blobs.put(content, options))
      : actual.putBlob(store, content, options),
  readBlob: (store: ModelStore, id: string) =>
    isModelled(store) ? store.pass(() => store.blobs.read(id)) : actual.readBlob(store, id),
  findBlob: (store: ModelStore, id: string) =>
    isModelled(store)
      ? store.pass(async () => ((await store.blobs.has(id)) ? { id } : null))
      : actual.findBlob(store, id),
  deleteBlob: (store: ModelStore, id: string) =>
    isModelled(store) ? store.write(() => store.blobs.delete(id)) : actual.deleteBlob(store, id),
});
