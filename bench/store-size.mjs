// node bench/store-size.mjs [--few N] [--many N] [--times N]: what the store's steps cost in a pool of few and of many seeds,
// waiters and snapshots, on the server of MONGODB_URI or the embedded one: the median time of each, and how many
// documents the server sends for it. The embedded server reads a whole collection for most questions: its times
// grow, what it sends does not. Prints a table.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from './lib.mjs';

const lib = process.env.BENCH_LIB ?? new URL('../lib', import.meta.url).pathname;
const { MongoClient, ObjectId } = await import('mongodb');
const load = (name) => import(`${lib}/store/${name}.js`);
const { acquireSeed } = await load('acquire-seed');
const { quarantineOf, seedsOf, snapshotsOf } = await load('collections');
const { MEANING } = await load('connection-options');
const { ensureIndexes } = await load('indexes');
const { leasesOfTask, listExpired, releaseLease, renewLease } = await load('leases');
const { openStore } = await load('open-store');
const { listSeeds } = await load('seed-info');
const { unsettledSeeds } = await load('settle-quarantine');
const { insertSnapshot, latestSnapshot, listSnapshots, pruneSnapshots, snapshotsOfTask } =
  await load('snapshots');
const { acquireInTurn, forgetWaiter, wakeableWaiters } = await load('waiters');

const argument = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at === -1 ? otherwise : Number(process.argv[at + 1]);
};
const FEW = argument('--few', 100);
const MANY = argument('--many', 100_000);
const TIMES = argument('--times', 5);
const BATCH = 500;
const HOUR = 3_600_000;

const server = await openServer();
const figures = new Map();
try {
  for (const size of [FEW, MANY]) await measure(size);
} finally {
  await server.close();
}
const head = ['step', `ms at ${FEW}`, `ms at ${MANY}`, 'ratio', `sent at ${FEW}`, `sent at ${MANY}`];
console.log(`| ${head.join(' | ')} |\n|${head.map(() => '---|').join('')}`);
for (const [step, [few, many]] of figures) {
  const cells = [few.ms.toFixed(1), many.ms.toFixed(1), (many.ms / few.ms).toFixed(1), few.sent, many.sent];
  console.log(`| ${[step, ...cells].join(' | ')} |`);
}

async function openServer() {
  if (process.env.MONGODB_URI) return { uri: process.env.MONGODB_URI, close: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), 'bench-store-'));
  const { startMongodb } = await import(`${lib}/dev/mongodb/choose-mongodb.js`);
  const signal = new AbortController().signal;
  const embedded = await startMongodb({ env: process.env, folder, ephemeral: true, say: () => {}, signal });
  return {
    uri: embedded.uri,
    async close() {
      await embedded.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function measure(size) {
  const store = await openPatient(`bench${size}`);
  let sent = 0;
  store.client.on('commandSucceeded', ({ reply }) => {
    const { cursor, value, values } = reply;
    sent += (cursor?.firstBatch ?? cursor?.nextBatch ?? []).length + (value ? 1 : (values?.length ?? 0));
  });
  /** The median of several calls; `after` is not counted. */
  const step = async (name, act, after = async () => {}) => {
    const times = [];
    let sentOnce = 0;
    for (let n = 0; n < TIMES; n++) {
      sent = 0;
      const began = performance.now();
      const answer = await act(n);
      times.push(performance.now() - began);
      sentOnce = sent;
      await after(answer, n);
    }
    if (process.env.VERBOSE) console.log(size, name, median(times).toFixed(1), sentOnce);
    const all = figures.get(name) ?? [];
    figures.set(name, [...all, { ms: median(times), sent: sentOnce }]);
  };
  await ensureIndexes(store);
  await fill(store, size);
  const release = ({ lease }) => releaseLease(store, lease);
  const request = (n) => ({ step: 's', at: new Date(Date.now() + n) });
  const of = (taskId) => ({ taskId, runId: 'r', assignmentId: 's' });
  await step(
    'acquire, a pool of free seeds',
    (n) => acquireSeed(store, { pool: 'free' }, 'me/r/s', HOUR, request(n)),
    release,
  );
  await step('acquire, a pool of leased seeds', (n) =>
    acquireSeed(store, { pool: 'leased' }, 'me/r/s', HOUR, request(n)),
  );
  const held = await acquireSeed(store, { pool: 'free' }, 'other/r/s', HOUR);
  await step('renew', () => renewLease(store, held.lease, HOUR));
  const leases = [];
  for (let n = 0; n < TIMES; n++)
    leases.push((await acquireSeed(store, { pool: 'free' }, `r${n}/r/s`, HOUR)).lease);
  await step('release', (n) => releaseLease(store, leases[n]));
  await step('stand in line behind all waiters', (n) =>
    acquireInTurn(store, { pool: 'leased' }, of(`new${n}`), HOUR),
  );
  await step('leave the line', (n) => forgetWaiter(store, of(`new${n}`)));
  await step('look whom to wake, nothing free', () => wakeableWaiters(store));
  const [one] = await seedsOf(store).find({ poolKey: 'leased' }).limit(1).toArray();
  await seedsOf(store).updateOne({ _id: one._id }, { $set: { lease: null } });
  await step('look whom to wake, one free', () => wakeableWaiters(store));
  await step('sweep: leases that ran out', () => listExpired(store));
  await step('sweep: what is new in quarantine', () => unsettledSeeds(store, { held: false }));
  await step('leases of one task', () => leasesOfTask(store, 't7'));
  await step('newest snapshot of a key', () => latestSnapshot(store, 'key7'));
  await step('snapshots of a key', () => listSnapshots(store, 'key7'));
  await step('snapshots of a task', () => snapshotsOfTask(store, 'task7'));
  await step('keep a snapshot and prune its key', async () => {
    const blobId = new ObjectId().toHexString();
    await insertSnapshot(store, { key: 'mine', taskId: 'me', blobId, sessionId: null, endState: 'done' });
    await pruneSnapshots(store, 'mine', 1);
  });
  await step('seeds list, one pool of few', () => listSeeds(store, 'small'));
  await step('seeds list, all, for each 1,000', () => listSeeds(store));
  await step('snapshots list, all, for each 1,000', () => listSnapshots(store));
  for (const name of ['seeds list, all, for each 1,000', 'snapshots list, all, for each 1,000']) {
    const figure = figures.get(name).at(-1);
    figure.ms /= Math.max(figure.sent, 1) / 1_000;
  }
  await store.close();
}

/**
 * The store with a client that waits for the server as long as it takes. The product's gives a command 30 s, and takes
 * a server for gone that did not say hello within 5 s: the embedded one answers one question at a time.
 */
async function openPatient(prefix) {
  const store = await openStore({ uri: server.uri, prefix, monitorCommands: true });
  await store.close();
  const client = new MongoClient(server.uri, {
    ...MEANING,
    monitorCommands: true,
    connectTimeoutMS: HOUR,
    serverSelectionTimeoutMS: HOUR,
  });
  return { ...store, client, db: client.db(store.db.databaseName), close: () => client.close() };
}

/** A third of the seeds in each pool, as many waiters, snapshots of a tenth as many keys, a few losses. */
async function fill(store, size) {
  const later = new Date(Date.now() + HOUR);
  const third = Math.ceil(size / 3);
  const seed = (poolKey, n, more = {}) => ({
    _id: new ObjectId(),
    createdAt: new Date(n),
    blobId: new ObjectId(),
    loginBlob: new ObjectId(),
    login: `${poolKey}-${n}`,
    manifestVersion: 1,
    poolKey,
    status: 'alive',
    lastLeasedAt: new Date(n),
    leaseEpoch: 1,
    lease: null,
    metadata: { accounts: [{ email: `a${n}@example.com`, summary: 'x'.repeat(100), windows: [] }] },
    ...more,
  });
  const seeds = Array.from({ length: third }, (_, n) => [
    seed('free', n),
    seed('leased', n, { lease: { holder: `t${n}/r/s`, expiresAt: later } }),
    seed('limited', n, { metadata: { limitedUntil: later } }),
  ]).flat();
  for (const each of seeds) each.loginBlob = each.blobId;
  await insertAll(seedsOf(store), [...seeds, ...Array.from({ length: 10 }, (_, n) => seed('small', n))]);
  const waiters = Array.from({ length: size }, (_, n) => ({
    _id: `w${n}/r/s`,
    taskId: `w${n}`,
    runId: 'r',
    assignmentId: 's',
    source: 'pool:leased',
    since: new Date(n),
    expiresAt: later,
    wokenAt: new Date(0),
  }));
  await insertAll(store.db.collection(`${store.prefix}_codex_waiters`), waiters);
  const snapshots = Array.from({ length: size }, (_, n) => ({
    _id: new ObjectId(),
    processId: `key${n % Math.ceil(size / 10)}`,
    taskId: `task${n}`,
    capturedAt: new Date(n),
    endState: 'done',
    workdirBlobId: new ObjectId(),
    sessionId: null,
    layout: 2,
  }));
  await insertAll(snapshotsOf(store), snapshots);
  await quarantineOf(store).createIndex({ seedId: 1 });
}

async function insertAll(collection, documents) {
  for (let n = 0; n < documents.length; n += BATCH)
    await collection.insertMany(documents.slice(n, n + BATCH), { ordered: false });
}
