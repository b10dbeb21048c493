import { ObjectId as Id, type Document, type Filter, type ObjectId } from 'mongodb';
import { createSecretKey } from 'node:crypto';
import { TaskError } from '../../../src/errors.js';
import { MEANING } from '../../../src/store/connection-options.js';
import type { SeedKey } from '../../../src/store/cipher.js';
import type { Store } from '../../../src/store/mongo.js';
import { MemoryCollection } from './memory-collection.js';
import type { Actor } from './scheduler.js';

/** What one process of the model sees as the database: each operation is a step of its actor. */
export interface ModelStore extends Store {
  /** A step that changes nothing. */
  readonly pass: Actor['pass'];
  /** A step that may change something, so that the rules look at it. */
  readonly write: Actor['pass'];
  readonly blobs: Blobs;
}

export interface BlobOptions {
  filename: string;
  metadata?: Record<string, unknown>;
}

export interface Blobs {
  put(content: Uint8Array, options: BlobOptions): Promise<string> | string;
  read(id: string): Promise<Buffer> | Buffer;
  has(id: string): Promise<boolean> | boolean;
  delete(id: string): Promise<boolean> | boolean;
}

/** Stands around each step of an actor that may change something. */
export type Around = (actor: Actor, step: () => unknown) => Promise<unknown>;

export interface Backend {
  /** The database as this actor sees it; `writes` is the key that it encrypts with, `reads` those that it has. */
  storeOf(actor: Actor, writes: SeedKey | null, reads?: readonly SeedKey[]): ModelStore;
  /** The same without steps, for the test itself. */
  readonly store: Store;
  readonly blobs: Blobs;
  watch(around: Around): void;
  /** Another member becomes the primary: of the last writes so many that it did not have are gone. Whether any were. */
  failOver?(writes: number): boolean;
}

/** Every third upload is of a host whose clock is days behind. */
function uploadClock(clock: Clock): () => Date {
  let uploads = 0;
  return () => new Date(clock() - (++uploads % 3 === 0 ? 3 * DAY_MS : 0));
}

const DAY_MS = 24 * 3_600_000;

const key = (id: string): SeedKey => ({ id, key: createSecretKey(Buffer.alloc(32, id)) });
export const KEYS = { a: key('a'), b: key('b') };

type Sort = Record<string, 1 | -1>;
type Operation = (...args: never[]) => unknown;
type Collection = Record<string, Operation>;
type Clock = () => number;

export function memoryBackend(clock: Clock): Backend {
  const collections = new Map<string, MemoryCollection>();
  const { w, journal } = MEANING.writeConcern as { w: unknown; journal: boolean };
  const readsElsewhere = (MEANING.readPreference as string) !== 'primary';
  /** What a failover may take back: nothing that a majority has in its journals. */
  const atRisk: (() => void)[] = [];
  const changed = (undo: () => void) => {
    if (w !== 'majority' || !journal) atRisk.push(undo);
  };
  const of = (name: string): MemoryCollection => {
    const known = collections.get(name) ?? new MemoryCollection(changed, readsElsewhere);
    collections.set(name, known);
    return known;
  };
  const kept = new Map<string, Buffer>();
  const uploadDate = uploadClock(clock);
  const blobs: Blobs = {
    put: (content, { filename, metadata = {} }) => {
      const _id = new Id();
      kept.set(_id.toHexString(), Buffer.from(content));
      changed(() => kept.delete(_id.toHexString()));
      of('fs.files').insert({ _id, filename, metadata, uploadDate: uploadDate() });
      return _id.toHexString();
    },
    read: (id) => {
      const content = kept.get(id);
      if (content) return content;
      throw new TaskError('BadInput', `Blob "${id}" does not exist`);
    },
    has: (id) => kept.has(id),
    delete: (id) => {
      of('fs.files').remove({ _id: new Id(id) });
      const content = kept.get(id);
      if (content) changed(() => kept.set(id, content));
      return kept.delete(id);
    },
  };
  const look = (name: string, isActor: boolean, filter?: Document, sort?: Sort) =>
    of(name).find(filter, sort, isActor && readsElsewhere);
  const operations = (name: string, isActor: boolean) => ({
    find: (filter?: Document, options?: { sort?: Sort }) => look(name, isActor, filter, options?.sort),
    findOne: (filter?: Document) => look(name, isActor, filter)[0] ?? null,
    countDocuments: (filter?: Document) => look(name, isActor, filter).length,
    findOneAndUpdate: (filter: Document, update: Document, options?: { sort?: Sort }) =>
      of(name).update(filter, update, options?.sort),
    updateOne: (filter: Document, update: Document) => ({
      matchedCount: of(name).update(filter, update) ? 1 : 0,
    }),
    updateMany: (filter: Document, update: Document) => {
      for (const each of of(name).find(filter)) of(name).update({ _id: each['_id'] as unknown }, update);
    },
    insertOne: (document: Document & { _id: ObjectId }) => of(name).insert(document),
    findOneAndDelete: (filter: Document) => of(name).remove(filter),
    distinct: (path: string, filter: Document) => [
      ...new Set(look(name, isActor, filter).map((each) => each[path] as unknown)),
    ],
  });
  const failOver = (writes: number) => {
    const gone = atRisk.splice(-writes).reverse();
    for (const undo of gone) undo();
    atRisk.length = 0;
    return gone.length > 0;
  };
  return { ...backendOf(clock, operations, blobs), failOver };
}

/** A real database; only the clock is ours. */
export function realBackend(clock: Clock, real: Store, actual: Blobs): Backend {
  const operations = (name: string) => {
    const target = real.db.collection(name);
    return {
      find: (filter: Filter<Document> = {}, options = {}) => target.find(filter, options).toArray(),
      findOne: (filter: Filter<Document> = {}) => target.findOne(filter),
      countDocuments: (filter: Filter<Document> = {}) => target.countDocuments(filter),
      findOneAndUpdate: target.findOneAndUpdate.bind(target),
      findOneAndDelete: target.findOneAndDelete.bind(target),
      updateMany: target.updateMany.bind(target),
      distinct: target.distinct.bind(target),
      updateOne: target.updateOne.bind(target),
      insertOne: target.insertOne.bind(target),
    } as unknown as Collection;
  };
  const files = real.db.collection('fs.files');
  const uploadDate = uploadClock(clock);
  const put: Blobs['put'] = async (content, options) => {
    const id = await actual.put(content, options);
    await files.updateOne({ _id: new Id(id) }, { $set: { uploadDate: uploadDate() } });
    return id;
  };
  return backendOf(clock, operations, { ...actual, put }, real.prefix);
}

const READS = new Set(['findOne', 'countDocuments', 'distinct']);

function backendOf(
  clock: Clock,
  operations: (name: string, isActor: boolean) => Collection,
  blobs: Blobs,
  prefix = 'model',
): Backend {
  const all = Object.values(KEYS);
  let around: Around = async (_actor, step) => step();
  const storeWith = (
    pass: Actor['pass'],
    write: Actor['pass'],
    writes: SeedKey | null,
    reads: readonly SeedKey[] = all,
    isActor = true,
  ): ModelStore => {
    const stepOf =
      (method: string, call: Operation) =>
      (...args: never[]) =>
        (READS.has(method) ? pass : write)(() => call(...args));
    const collection = (name: string) => {
      const { find, ...others } = operations(name, isActor) as Collection & { find: Operation };
      const steps = Object.entries(others).map(([method, call]) => [method, stepOf(method, call)] as const);
      const cursor = (filter: Document, options: { sort?: Sort } = {}) => {
        const read = () => pass(() => find(...([filter, options] as never[]))) as Promise<Document[]>;
        return {
          toArray: read,
          sort: (sort: Sort) => cursor(filter, { ...options, sort }),
          async *[Symbol.asyncIterator]() {
            yield* await read();
          },
        };
      };
      // Made before the first seed is, as every process does.
      const createIndex = () => Promise.resolve(name);
      return { ...Object.fromEntries(steps), find: cursor, createIndex };
    };
    const command = () => pass(() => ({ localTime: new Date(clock()) }));
    const db = { collection, command } as unknown as Store['db'];
    return { db, prefix, pass, write, blobs, seedKeys: { writes, reads } } as unknown as ModelStore;
  };
  const atOnce: Actor['pass'] = (run) => Promise.resolve().then(run);
  return {
    storeOf: (actor, writes, reads) =>
      storeWith(
        (run) => actor.pass(run),
        <T>(run: () => T | Promise<T>) => actor.pass(() => around(actor, run) as Promise<T>),
        writes,
        reads,
      ),
    store: storeWith(atOnce, atOnce, KEYS.a, all, false),
    blobs,
    watch: (next) => void (around = next),
  };
}
