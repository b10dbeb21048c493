import { BSON, MongoClient, type Document } from 'mongodb';
import { onTestFinished } from 'vitest';
import { startFakeReplicaSet, type FakeReplicaSet } from './fake-replica-set.js';
import { openTestDatabase } from './mongo.js';

/**
 * `refused`: the member is the primary no more and did nothing; `cut`: it did what was asked, and the connection breaks
 * before its answer; `cut-before`: it breaks before anything was done.
 */
export type Trouble = 'refused' | 'cut' | 'cut-before';

export interface FailingOver extends FakeReplicaSet {
  /** Meets the write after so many others with this, once. */
  trouble(kind: Trouble, afterWrites: number): void;
  /** Writes that came so far; one that is sent again counts once. */
  readonly writes: number;
  /** Whether the trouble came. */
  readonly isOver: boolean;
}

const WRITES = new Set(['insert', 'update', 'delete', 'findAndModify']);

/**
 * A replica set that keeps its data in the test's own database, and knows a write that is sent again as a real one
 * does: by its session and number. Ends with the test.
 */
export async function startFailingOver(): Promise<FailingOver> {
  const database = await openTestDatabase();
  const client = new MongoClient(database.uri);
  const db = client.db();
  const answered = new Map<string, Document>();
  let armed: { kind: Trouble; left: number } | null = null;
  let writes = 0;

  async function apply(command: Document): Promise<Document> {
    // Of sessions and majorities the one server behind knows nothing.
    const { lsid, txnNumber, $db, $clusterTime, $readPreference, readConcern, writeConcern, ...plain } =
      command;
    void [$db, $clusterTime, $readPreference, readConcern, writeConcern];
    const name = Object.keys(plain)[0]!;
    if (name === 'endSessions') return {};
    const id = txnNumber === undefined ? null : `${idOf(lsid)}/${String(txnNumber)}`;
    const known = id === null ? undefined : answered.get(id);
    if (known) return known;
    const answer = await db
      .command(plain, { promoteValues: false })
      .catch((error: { errorResponse?: Document }) => ({
        ok: 0,
        ...error.errorResponse,
      }));
    if (id !== null) answered.set(id, answer);
    return answer;
  }

  const set = await startFakeReplicaSet({}, async (command) => {
    const name = Object.keys(command)[0]!;
    if (!WRITES.has(name)) return apply(command);
    const isNow = armed !== null && armed.left-- === 0;
    if (!isNow) {
      writes += 1;
      return apply(command);
    }
    const { kind } = armed!;
    armed = null;
    if (kind === 'refused')
      return {
        ok: 0,
        code: 10_107,
        codeName: 'NotWritablePrimary',
        errmsg: 'not primary',
        errorLabels: ['RetryableWriteError'],
      };
    if (kind === 'cut') await apply(command);
    return null;
  });
  onTestFinished(async () => {
    await client.close();
    await database.close();
  });
  return {
    ...set,
    trouble: (kind, afterWrites) => void (armed = { kind, left: afterWrites }),
    get writes() {
      return writes;
    },
    get isOver() {
      return armed === null;
    },
  };
}

const idOf = (lsid: unknown): string => Buffer.from(BSON.serialize({ lsid })).toString('base64');
