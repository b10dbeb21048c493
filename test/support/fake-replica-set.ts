import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { BSON, Long, ObjectId, Timestamp, type Document } from 'mongodb';
import { onTestFinished } from 'vitest';

/** A command as a member of the set got it. */
export interface SeenCommand {
  to: 'primary' | 'secondary';
  name: string;
  command: Document;
}

export interface FakeReplicaSet {
  /** Names both members. */
  uri(options?: string): string;
  /** The second member alone. */
  secondaryUri(options?: string): string;
  /** What came of the store; the driver's own questions are left out. */
  readonly seen: SeenCommand[];
  /** Commands that get no answer from now on. */
  readonly silent: Set<string>;
  /** The clocks of its members are ahead by so much from now on. Milliseconds. */
  setClock(aheadMs: number): void;
}

const LIMITS = {
  maxWireVersion: 21,
  minWireVersion: 0,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
};

/**
 * A replica set of two members on loopback that knows no data: every question has an empty answer, every write is
 * acknowledged. `documents` are what a `find` in a collection with this end of its name gives. `handle` answers what
 * comes to the primary in its place; null: the connection breaks. Ends with the test.
 */
export async function startFakeReplicaSet(
  documents: Readonly<Record<string, Document[]>> = {},
  handle?: (command: Document) => Promise<Document | null>,
): Promise<FakeReplicaSet> {
  const seen: SeenCommand[] = [];
  const silent = new Set<string>();
  const members: string[] = [];
  let aheadMs = 0;
  const electionId = new ObjectId();
  const hello = (i: number) => ({
    ...LIMITS,
    setName: 'rs',
    setVersion: 1,
    hosts: members,
    me: members[i],
    primary: members[0],
    isWritablePrimary: i === 0,
    secondary: i === 1,
    ...(i === 0 && { electionId }),
    lastWrite: { opTime: { ts: new Timestamp({ t: 1, i: 1 }), t: 1 }, lastWriteDate: new Date() },
    localTime: new Date(Date.now() + aheadMs),
    helloOk: true,
    logicalSessionTimeoutMinutes: 30,
  });

  function answerTo(i: number, command: Document): Document | null {
    const name = Object.keys(command)[0]!;
    if (!isHello(command) || command['$db'] === 'app')
      seen.push({ to: i === 0 ? 'primary' : 'secondary', name, command });
    if (silent.has(name)) return null;
    if (isHello(command)) return hello(i);
    const target = String(command[name]);
    const found = Object.entries(documents).find(([end]) => target.endsWith(end))?.[1] ?? [];
    const cursor = (firstBatch: Document[]) => ({ cursor: { id: Long.ZERO, ns: 'app.x', firstBatch } });
    if (name === 'find') return cursor(found);
    if (name === 'aggregate' || name === 'listIndexes') return cursor([]);
    if (name === 'distinct') return { values: [] };
    return { n: 1, nModified: 1, value: null };
  }

  for (const i of [0, 1]) {
    const open = new Set<Socket>();
    const server = createServer((socket) => {
      open.add(socket);
      let buffer = Buffer.alloc(0);
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        buffer = Buffer.concat([buffer, bytes]);
        while (buffer.length >= 16 && buffer.length >= buffer.readInt32LE(0)) {
          const message = buffer.subarray(0, buffer.readInt32LE(0));
          buffer = buffer.subarray(message.length);
          const command = readCommand(message);
          if (handle && i === 0 && !isHello(command)) {
            const current = message;
            void handle(command).then((answer) =>
              answer ? socket.write(reply(current, answer)) : socket.destroy(),
            );
            continue;
          }
          const answer = answerTo(i, command);
          if (answer) socket.write(reply(message, answer));
        }
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    members.push(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
  }
  return {
    uri: (options = '') => `mongodb://${members.join(',')}/app?replicaSet=rs${options}`,
    secondaryUri: (options = '') => `mongodb://${members[1]}/app?directConnection=true${options}`,
    seen,
    silent,
    setClock: (ms) => void (aheadMs = ms),
  };
}

const isHello = (command: Document) => /hello|ismaster/i.test(Object.keys(command)[0]!);

const OP_MSG = 2013;
const isOpMsg = (message: Buffer) => message.readInt32LE(12) === OP_MSG;

function readCommand(message: Buffer): Document {
  const body = isOpMsg(message) ? message.subarray(21) : message.subarray(message.indexOf(0, 20) + 9);
  return BSON.deserialize(body, { allowObjectSmallerThanBufferSize: true });
}

function reply(message: Buffer, answer: Document): Buffer {
  const bson = BSON.serialize({ ok: 1, ...answer });
  const isMsg = isOpMsg(message);
  const head = Buffer.alloc(isMsg ? 21 : 36);
  head.writeInt32LE(head.length + bson.length, 0);
  head.writeInt32LE(1, 4);
  head.writeInt32LE(message.readInt32LE(4), 8);
  head.writeInt32LE(isMsg ? OP_MSG : 1, 12);
  if (!isMsg) {
    head.writeInt32LE(8, 16);
    head.writeInt32LE(1, 32);
  }
  return Buffer.concat([head, Buffer.from(bson)]);
}
