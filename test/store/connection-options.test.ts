import { createRequire } from 'node:module';
import { GridFSBucket, ObjectId } from 'mongodb';
import { expect, onTestFinished, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { deleteBlob, putBlob, readBlob } from '../../src/store/blobs.js';
import { collectOrphans } from '../../src/store/collect.js';
import { FIXED_OPTIONS, withoutFixedOptions } from '../../src/store/connection-options.js';
import { seedsOf } from '../../src/store/collections.js';
import { releaseLease, renewLease } from '../../src/store/leases.js';
import { ensureIndexes } from '../../src/store/indexes.js';
import { type Store } from '../../src/store/mongo.js';
import { countQuarantine, listQuarantine, quarantineAuth } from '../../src/store/quarantine.js';
import { deleteSeed } from '../../src/store/remove-seed.js';
import { insertSeed, readSeed, saveBack } from '../../src/store/seeds.js';
import { deleteSnapshot, insertSnapshot, pruneSnapshots } from '../../src/store/snapshots.js';
import { acquireInTurn, wakeableWaiters } from '../../src/store/waiters.js';
import { startFakeReplicaSet } from '../support/fake-replica-set.js';
import { auth } from './support.js';
import { openStore } from '../../src/store/open-store.js';

/** Options of the driver that a URI may set: they say where the server is and how it is reached, nothing more. */
const KEPT = new Set(
  `appName auth authMechanism authMechanismProperties authSource autoSelectFamily autoSelectFamilyAttemptTimeout
  compressors connectTimeoutMS dbName directConnection driverInfo enableOverloadRetargeting family heartbeatFrequencyMS
  loadBalanced localThresholdMS maxAdaptiveRetries maxConnecting maxIdleTimeMS maxPoolSize minInternalBufferSize
  minPoolSize minHeartbeatFrequencyMS monitorCommands name noDelay proxyHost proxyPassword proxyPort proxyUsername
  replicaSet runtimeAdapters serverMonitoringMode serverSelectionTimeoutMS servername srvAllowedHostsSuffix
  srvHostValidator srvMaxHosts srvServiceName ssl tls tlsAllowInvalidCertificates tlsAllowInvalidHostnames tlsCAFile
  tlsCRLFile tlsCertificateKeyFile tlsCertificateKeyFilePassword tlsInsecure zlibCompressionLevel mongodbLogPath
  mongodbLogComponentSeverities mongodbLogMaxDocumentLength connectionType srvPoller allowPartialTrustChain minDHSize
  pskCallback secureContext enableTrace requestCert rejectUnauthorized checkServerIdentity keepAliveInitialDelay
  ALPNProtocols SNICallback session requestOCSP localAddress localPort hints lookup ca cert ciphers crl ecdhCurve key
  passphrase pfx secureProtocol index __skipPingOnConnect`.split(/\s+/),
);

async function open(uri: string): Promise<Store> {
  const store = await openStore({ uri, prefix: 'optio', monitorCommands: true });
  onTestFinished(() => store.close());
  return store;
}

test('every option of the driver is set by the URI or fixed by the code', () => {
  const require = createRequire(import.meta.url);
  const { OPTIONS } = require('mongodb/lib/connection_string.js') as { OPTIONS: Record<string, unknown> };
  const unknown = Object.keys(OPTIONS).filter(
    (name) => !KEPT.has(name) && !(name.toLowerCase() in FIXED_OPTIONS),
  );
  expect(unknown).toEqual([]);
});

const SAYS_OTHERWISE = [
  'readPreference=secondaryPreferred',
  'readPreference=secondary&readPreferenceTags=dc:ny&maxStalenessSeconds=120',
  'maxStalenessSeconds=120',
  'READPREFERENCE=nearest',
  'readConcernLevel=local',
  'readConcernLevel=available',
  'w=1',
  'w=0&journal=false',
  'w=0',
  'journal=false',
  'wtimeoutMS=1',
  'wtimeout=1',
  'retryWrites=false',
  'retryReads=false',
  'timeoutMS=5',
  'socketTimeoutMS=5',
  'waitQueueTimeoutMS=5',
  'promoteLongs=false',
];

test.each(SAYS_OTHERWISE)(
  'a URI with %s changes no option of client, database, collection or bucket',
  async (options) => {
    const set = await startFakeReplicaSet();
    const [plain, store] = [await open(set.uri()), await open(set.uri(`&${options}`))];
    const meaning = ({ client, db }: Store) => {
      const bucket = new GridFSBucket(db, { bucketName: 'fs' }) as unknown as { s: { options: unknown } };
      return [client.options, db, seedsOf({ db, prefix: 'p' } as Store)]
        .map((each) => each as unknown as Record<string, unknown>)
        .map((each) => ({
          ...Object.fromEntries(
            ['readPreference', 'readConcern', 'writeConcern', 'timeoutMS', 'retryReads', 'retryWrites'].map(
              (name) => [name, each[name]],
            ),
          ),
          ...Object.fromEntries(
            ['socketTimeoutMS', 'waitQueueTimeoutMS', 'promoteLongs'].map((name) => [
              name,
              client.options[name as 'raw'],
            ]),
          ),
          bucket: bucket.s.options,
        }));
    };
    expect(meaning(store)).toEqual(meaning(plain));
    expect(plain.client.options.readPreference.mode).toBe('primary');
    expect(plain.client.options.readConcern.level).toBe('majority');
    expect(plain.client.options.writeConcern).toMatchObject({ w: 'majority', journal: true });
    expect(plain.warnings).toEqual([]);
    expect(store.warnings).toHaveLength(options.split('&').length);
  },
);

test('a URI option equal to the code causes no warning, and its other options count', () => {
  const same = 'w=majority&retryWrites=true&journal=true&readPreference=primary&readConcernLevel=majority';
  expect(withoutFixedOptions(`mongodb://a:p%3Fw=@h1,h2/db?authSource=admin&${same}&tls=true`)).toEqual({
    uri: 'mongodb://a:p%3Fw=@h1,h2/db?authSource=admin&tls=true',
    overruled: [],
  });
  expect(withoutFixedOptions('mongodb+srv://host/?w=1')).toEqual({
    uri: 'mongodb+srv://host/',
    overruled: ['w'],
  });
});

const READS = new Set(['find', 'aggregate', 'aggregate', 'distinct']);
const WRITES = new Set(['insert', 'update', 'delete', 'findAndModify', 'createIndexes']);

test('every command uses the primary, majority reads and journaled writes', async () => {
  const seed = { _id: new ObjectId(), blobId: new ObjectId(), manifestVersion: 1, createdAt: new Date() };
  const set = await startFakeReplicaSet({ _codex_seeds: [seed], _codex_waiters: [] });
  const store = await open(
    set.uri('&readPreference=secondaryPreferred&w=1&journal=false&readConcernLevel=local'),
  );
  const seedId = seed._id.toHexString();
  const held = { seedId, holder: 'h', leaseEpoch: 1 };
  const blobId = new ObjectId().toHexString();
  const acts: (() => Promise<unknown>)[] = [
    () => ensureIndexes(store),
    () => renewLease(store, held, 60_000),
    () => releaseLease(store, held),
    () => readSeed(store, seedId),
    () => acquireSeed(store, { pool: 'p' }, 'h', 60_000),
    () => acquireInTurn(store, { pool: 'p' }, { taskId: 't', runId: 'r', assignmentId: 's' }, 60_000),
    () => wakeableWaiters(store),
    () => insertSeed(store, { authJson: auth('x'), pool: 'p' }),
    () => saveBack(store, held, auth('y'), { taskId: 't' }),
    () => quarantineAuth(store, held, auth('z'), { taskId: 't', reason: 'r' }),
    () => listQuarantine(store),
    () => countQuarantine(store, 1_000),
    () => deleteSeed(store, seedId),
    () => collectOrphans(store),
    () => insertSnapshot(store, { key: 'k', blobId, sessionId: null, endState: 'done' }),
    () => pruneSnapshots(store, 'k', 0),
    () => deleteSnapshot(store, blobId),
    () => putBlob(store, Buffer.from('x'), { filename: 'x' }),
    () => readBlob(store, blobId),
    () => deleteBlob(store, blobId),
  ];
  set.seen.length = 0;
  // The set has no data, so most of them fail somewhere: what counts is what they asked until then.
  for (const act of acts) await act().catch(() => undefined);
  const asked = new Set<string>();
  for (const { to, name, command } of set.seen) {
    asked.add(name);
    expect([name, to]).toEqual([name, 'primary']);
    if (READS.has(name)) expect([name, command['readConcern']]).toEqual([name, { level: 'majority' }]);
    if (WRITES.has(name)) expect([name, command['writeConcern']]).toEqual([name, { w: 'majority', j: true }]);
    expect(READS.has(name) || WRITES.has(name) || ['hello', 'listIndexes', 'getMore'].includes(name)).toBe(
      true,
    );
  }
  expect([...asked]).toEqual(
    expect.arrayContaining(['find', 'insert', 'update', 'delete', 'findAndModify', 'aggregate']),
  );
});

test('a single member of a larger set is refused, since it may not stay the primary', async () => {
  const set = await startFakeReplicaSet();
  await expect(openStore({ uri: set.secondaryUri(), prefix: 'optio' })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining('directConnection') as string,
  });
});

test('a database that accepts queries and does not answer them times out', async () => {
  const set = await startFakeReplicaSet();
  set.silent.add('hello').add('ismaster');
  const began = performance.now();
  await expect(openStore({ uri: set.uri(), prefix: 'optio', connectTimeoutMs: 300 })).rejects.toMatchObject({
    code: 'Unavailable',
  });
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('the count of quarantined credentials has a time limit', async () => {
  const set = await startFakeReplicaSet();
  const store = await open(set.uri());
  set.silent.add('aggregate').add('aggregate').add('find');
  const began = performance.now();
  expect(await countQuarantine(store, 200)).toBeNull();
  expect(performance.now() - began).toBeLessThan(10_000);
});
