import { type MongoClient, MongoServerError, type Db } from 'mongodb';
import { TaskError } from '../errors.js';
import type { SeedKeys } from './cipher.js';
import './driver-sockets.js';
import { noteClock, secondsUp } from './lease-clock.js';

/** An open database. Whoever opened it closes it. */
export interface Store {
  readonly client: MongoClient;
  readonly db: Db;
  /** Collections are `<prefix>_codex_seeds`, …; the GridFS bucket is always `fs`. */
  readonly prefix: string;
  /** What credentials are encrypted with. */
  readonly seedKeys: SeedKeys;
  /** Which Temporal namespace the tasks of this process are in, where that is known: others have their own. */
  readonly fleet?: string;
  /** What the URI asks for and does not get. */
  readonly warnings: readonly string[];
  close(): Promise<void>;
}

const DUPLICATE_KEY = 11_000;

/** Whether a document was refused because there is one with its id, or with a value that is to be unique. */
export const isDuplicateKey = (error: unknown): boolean =>
  error instanceof MongoServerError &&
  // The embedded server (FerretDB 1.24.2) says so of an update in words only.
  (error.code === DUPLICATE_KEY || error.message.includes('UNIQUE constraint failed'));

/** The time by the database's clock: the only one by which lifetimes are compared, whatever host asks. */
export async function databaseNow(store: Store): Promise<Date> {
  const asked = secondsUp();
  const { localTime } = await store.db.command({ hello: 1 });
  if (localTime instanceof Date) {
    if (store.client) noteClock(store.client, localTime, asked);
    return localTime;
  }
  throw new TaskError('Unavailable', 'MongoDB reported no time: its answer to hello lacks localTime');
}
