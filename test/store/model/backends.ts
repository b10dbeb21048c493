import type { ObjectId, Document, Filter } from 'mongodb';
import { ObjectId as Id } from 'mongodb';
import { createSecretKey } from 'node:crypto';
import type { SeedKey } from '../../../src/store/cipher.js';
import type { Store } from '../../../src/store/mongo.js';
import { MemoryCollection } from './memory-collection.js';
import type { Actor } from './scheduler.js';

/** What one process of the model sees as the database: each operation is a step of its actor. */
export interface ModelStore extends Store {
  readonly pass: Actor['pass'];
  readonly blobs: Blobs;
}

export interface Blobs {
  put(content: Uint8Array): Promise<string> | string;
  read(id: string): Promise<Buffer> | Buffer;
  has(id: string): Promise<boolean> | boolean;
  delete(id: string): Promise<boolean> | boolean;
}

export interface Backend {
  /** The database as this actor sees it; `writes` is the key that it encrypts with. */
  storeOf(actor: Actor, writes: SeedKey | null): ModelStore;
  /** The same without steps, for the test itself. */
  readonly store: Store;
  readonly blobs: Blobs;
}

const key = (id: string): SeedKey => ({ id, key: createSecretKey(Buffer.alloc(32, id)) });
export const KEYS = { a: key('a'), b: key('b') };

type Collection = Record<string, (...args: never[]) => unknown>;
type Clock = () => number;

export function memoryBackend(clock: Clock): Backend {
  const collections = new Map<string, MemoryCollection>();
  const of = (name: string): MemoryCollection => {
    const known = collections.get(name) ?? new MemoryCollection();
    collections.set(name, known);
    return known;
  };
  const kept = new Map<string, Buffer>();
  const blobs: Blobs = {
    put: (content) => {
      const id = new Id().toHexString();
      kept.set(id, Buffer.from(content));
      return id;
    },
    read: (id) => kept.get(id) ?? Buffer.alloc(0),
    has: (id) => kept.has(id),
    delete: (id) => kept.delete(id),
  };
  const operations = (name: string) => ({
    find: (filter?: Document, options?: { sort?: Record<string, 1 | -1> }) =>
      of(name).find(filter, options?.sort),
    findOne: (filter?: Document) => of(name).find(filter)[0] ?? null,
    findOneAndUpdate: (filter: Document, update: Document, options?: { sort?: Record<string, 1 | -1> }) =>
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
      ...new Set(
        of(name)
          .find(filter)
          .map((each) => each[path] as unknown),
      ),
    ],
  });
  return backendOf(clock, (name) => operations(name), blobs);
}

/** A real database; only the clock is ours. */
export function realBackend(clock: Clock, real: Store, blobs: Blobs): Backend {
  const operations = (name: string) => {
    const target = real.db.collection(name);
    return {
      find: (filter: Filter<Document> = {}, options = {}) => target.find(filter, options).toArray(),
      findOne: (filter: Filter<Document> = {}) => target.findOne(filter),
      findOneAndUpdate: target.findOneAndUpdate.bind(target),
      findOneAndDelete: target.findOneAndDelete.bind(target),
      updateMany: target.updateMany.bind(target),
      distinct: target.distinct.bind(target),
      updateOne: target.updateOne.bind(target),
      insertOne: target.insertOne.bind(target),
    } as unknown as Collection;
  };
  return backendOf(clock, operations, blobs, real.prefix);
}

function backendOf(
  clock: Clock,
  operations: (name: string) => Collection,
  blobs: Blobs,
  prefix = 'model',
): Backend {
  const reads = Object.values(KEYS);
  const storeWith = (pass: Actor['pass'], writes: SeedKey | null): ModelStore => {
    const stepOf =
      (call: Collection[string]) =>
      (...args: never[]) =>
        pass(() => call(...args));
    const collection = (name: string) => {
      const { find, ...others } = operations(name) as Collection & { find: Collection[string] };
      const steps = Object.entries(others).map(([method, call]) => [method, stepOf(call)] as const);
      const cursor = (...args: never[]) => ({ toArray: () => stepOf(find)(...args) });
      // Made before the first seed is, as every process does.
      const createIndex = () => Promise.resolve(name);
      return { ...Object.fromEntries(steps), find: cursor, createIndex };
    };
    const command = () => pass(() => ({ localTime: new Date(clock()) }));
    const db = { collection, command } as unknown as Store['db'];
    return { db, prefix, pass, blobs, seedKeys: { writes, reads } } as unknown as ModelStore;
  };
  const atOnce: Actor['pass'] = (run) => Promise.resolve().then(run);
  return {
    storeOf: (actor, writes) => storeWith((run) => actor.pass(run), writes),
    store: storeWith(atOnce, KEYS.a),
    blobs,
  };
}
