import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { embeddedMongo, ferretdb } from '../../src/dev/mongodb/ferretdb.js';
import { isAlive, startTimeOf } from '../../src/process/process-identity.js';
import { makeFolder, testFolder } from '../support/folders.js';
import { stackOptions } from '../support/shared-servers.js';

const signal = new AbortController().signal;

let close: () => Promise<void>;
let uri: string;
let socket: string;
let client: MongoClient;

beforeAll(async () => {
  const folder = await makeFolder();
  const server = await start(folder.path);
  uri = server.uri;
  socket = decodeURIComponent(/^mongodb:\/\/([^/]+)/.exec(uri)![1]!);
  client = new MongoClient(uri, { maxPoolSize: 100 });
  close = async () => {
    await client.close();
    await server.close();
    await folder.remove();
  };
});
afterAll(() => close());

async function start(folder: string, ephemeral = true) {
  const found = await ferretdb({ ...stackOptions(folder, signal), ephemeral });
  if ('because' in found) throw new Error(found.because);
  return found.start();
}

test('eighty concurrent acquires of fifty documents get fifty distinct ones', async () => {
  const seeds = client.db().collection<{ _id: number; holder: string | null }>('acquire');
  await seeds.insertMany(Array.from({ length: 50 }, (_, index) => ({ _id: index, holder: null })));
  const acquired = await Promise.all(
    Array.from({ length: 80 }, (_, index) =>
      seeds.findOneAndUpdate(
        { holder: null },
        { $set: { holder: `h${index}` } },
        { sort: { _id: 1 }, returnDocument: 'after' },
      ),
    ),
  );
  const ids = acquired.flatMap((document) => (document ? [document._id] : []));
  expect(ids).toHaveLength(50);
  expect(new Set(ids).size).toBe(50);
});

test('two hundred concurrent increments add up', async () => {
  const counters = client.db().collection<{ _id: string; n: number }>('counter');
  await counters.insertOne({ _id: 'c', n: 0 });
  await Promise.all(Array.from({ length: 200 }, () => counters.updateOne({ _id: 'c' }, { $inc: { n: 1 } })));
  expect(await counters.findOne({ _id: 'c' })).toMatchObject({ n: 200 });
});

test('clients that disconnect in mid-message or before a reply disturb no others', async () => {
  const things = client.db().collection<{ _id: number; text: string }>('things');
  await things.insertMany(Array.from({ length: 100 }, (_, index) => ({ _id: index, text: `text ${index}` })));
  const half = Buffer.alloc(20);
  half.writeInt32LE(5_000);
  const leaving = Array.from({ length: 40 }, async (_, index) => {
    const connection = connect(socket);
    await once(connection, 'connect');
    connection.write(index % 2 === 0 ? half : findMessage('things'));
    connection.destroy();
  });
  const found = await Promise.all(Array.from({ length: 100 }, (_, index) => things.findOne({ _id: index })));
  await Promise.all(leaving);
  expect(found.map((thing) => thing?.text)).toEqual(
    Array.from({ length: 100 }, (_, index) => `text ${index}`),
  );
});

test('a message of impossible size ends only its connection', async () => {
  const connection = connect(socket);
  const wrong = Buffer.alloc(16);
  wrong.writeUInt32LE(0xffffffff);
  connection.write(wrong);
  await new Promise((resolve) => connection.on('error', resolve).on('close', resolve).resume());
  expect(await client.db().command({ ping: 1 })).toMatchObject({ ok: 1 });
});

test('an unacknowledged write does not shift the replies of its connection', async () => {
  const single = new MongoClient(uri, { maxPoolSize: 1 });
  onTestFinished(() => single.close());
  const notes = single.db().collection<{ _id: number }>('notes');
  await notes.insertOne({ _id: 1 }, { writeConcern: { w: 0 } });
  expect(await notes.findOne({ _id: 1 })).toEqual({ _id: 1 });
  await notes.insertOne({ _id: 2 }, { writeConcern: { w: 0 } });
  expect(await notes.countDocuments()).toBe(2);
});

test('the server reports its clock', async () => {
  const { localTime } = (await client.db().command({ hello: 1 })) as { localTime: Date };
  expect(Math.abs(localTime.getTime() - Date.now())).toBeLessThan(5_000);
});

test('the server ends when its standard input closes', async () => {
  const { child, exited } = await startBare();
  child.stdin.end();
  expect(await exited).toEqual([0, null]);
});

test('the server ends on SIGTERM while clients are connected', async () => {
  const { child, exited, folder } = await startBare();
  const connection = connect(join(folder, 'mongodb.sock'));
  connection.on('error', () => undefined);
  await once(connection, 'connect');
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
});

test('writes survive SIGKILL, and leftovers of the crash do not prevent a start', async () => {
  const folder = await testFolder();
  const first = await start(folder, false);
  await write(first.uri);
  const { pid } = JSON.parse(await readFile(join(folder, 'ferretdb', 'ferretdb.pid'), 'utf8')) as {
    pid: number;
  };
  process.kill(pid, 'SIGKILL');
  await first.ended;
  const second = await start(folder, false);
  onTestFinished(second.close);
  const again = new MongoClient(second.uri);
  onTestFinished(() => again.close());
  expect(await again.db().collection('kept').countDocuments()).toBe(1);
});

test('a second start on the same folder ends the server of an earlier process', async () => {
  const folder = await testFolder();
  const left = await start(folder);
  const { pid } = JSON.parse(await readFile(join(folder, 'ferretdb', 'ferretdb.pid'), 'utf8')) as {
    pid: number;
  };
  const startTime = await startTimeOf(pid);
  const next = await start(folder);
  onTestFinished(next.close);
  expect(await isAlive({ pid, startTime: startTime! })).toBe(false);
  await left.close();
  await write(next.uri);
});

test('a folder too deep for a socket path works by a short link, removed at close', async () => {
  const folder = join(await testFolder(), 'a'.repeat(60), 'b'.repeat(60));
  const server = await start(folder);
  await write(server.uri);
  const short = decodeURIComponent(/^mongodb:\/\/([^/]+)/.exec(server.uri)![1]!);
  expect(Buffer.byteLength(short)).toBeLessThan(108);
  await server.close();
  await expect(readFile(join(short, '..', 'ferretdb.log'))).rejects.toThrow('ENOENT');
});

async function startBare() {
  const folder = await testFolder();
  const path = await embeddedMongo(stackOptions(folder, signal));
  if (typeof path !== 'string') throw new Error(path.because);
  const child = spawn(path, [folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  return { child, exited, folder };
}

async function write(to: string): Promise<void> {
  const writer = new MongoClient(to);
  try {
    await writer.db().collection('kept').insertOne({ a: 1 });
  } finally {
    await writer.close();
  }
}

/** OP_MSG `{find: <collection>, $db: "codex_task"}`, written by hand. */
function findMessage(collection: string): Buffer {
  const text = (name: string, value: string) => {
    const length = Buffer.alloc(4);
    length.writeInt32LE(Buffer.byteLength(value) + 1);
    return Buffer.concat([Buffer.from(`\x02${name}\0`), length, Buffer.from(`${value}\0`)]);
  };
  const fields = Buffer.concat([text('find', collection), text('$db', 'codex_task')]);
  const document = Buffer.concat([Buffer.alloc(4), fields, Buffer.from([0])]);
  document.writeInt32LE(document.length);
  const message = Buffer.concat([Buffer.alloc(21), document]);
  message.writeInt32LE(message.length);
  message.writeInt32LE(1, 4);
  message.writeInt32LE(2013, 12);
  return message;
}
