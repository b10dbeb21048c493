import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Collection, Document } from 'mongodb';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { asActivities } from '../src/activities/as-activity.js';
import { FORMATS, NewerFormat, type FormatName } from '../src/formats.js';
import { readFence, writeDeadline } from '../src/process/deadline.js';
import { isNotedFenced, noteFenced } from '../src/task-folder/fenced-process.js';
import { noteBegun, noteLease, readOwner } from '../src/task-folder/task-manifest.js';
import { requireKnownFolders } from '../src/session/host/known-folders.js';
import { openLedger, readLedger } from '../src/task-folder/ledger.js';
import {
  findProcess,
  noteSaved,
  readProcessRecord,
  reapProcess,
  writeProcessRecord,
} from '../src/task-folder/process-record.js';
import {
  encodeCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from '../src/session/recall/recall-checkpoint.js';
import { segmentName } from '../src/journal/segments.js';
import { taskFolder, type TaskFolder } from '../src/task-folder/task-folder.js';
import { restoreSnapshot } from '../src/snapshots/restore-snapshot.js';
import { readManifest, writeManifest } from '../src/snapshots/snapshot-manifest.js';
import { TaskError } from '../src/errors.js';
import { acquireSeed } from '../src/store/acquire-seed.js';
import { hostsOf, quarantineOf, seedsOf, snapshotsOf } from '../src/store/collections.js';
import { findHost, registerHost } from '../src/store/hosts.js';
import { releaseLease } from '../src/store/leases.js';
import type { Store } from '../src/store/mongo.js';
import {
  deleteQuarantined,
  findQuarantined,
  listQuarantine,
  quarantineAuth,
  readQuarantined,
} from '../src/store/quarantine.js';
import { deleteSeed, purgeSeed } from '../src/store/remove-seed.js';
import { rekeyAll } from '../src/store/rekey.js';
import { restoreQuarantined } from '../src/store/restore.js';
import { exportSeed, insertSeed, readSeed, saveBack } from '../src/store/seeds.js';
import { dismissQuarantined } from '../src/store/settle-quarantine.js';
import { acquireInTurn, waitersOfTask } from '../src/store/waiters.js';
import { findRemains } from '../src/store/purge-task.js';
import {
  deleteSnapshot,
  insertSnapshot,
  latestSnapshot,
  listSnapshots,
  pruneSnapshots,
} from '../src/store/snapshots.js';
import { beginAssignment, findAssignment } from '../src/store/assignments.js';
import {
  cutParts,
  eventMark,
  findCheckpoint,
  forgetTaskState,
  insertPart,
  keepMessage,
  keptMessages,
  listParts,
  partsEnd,
  partsOf,
  reserveEventIds,
} from '../src/store/task-state.js';
import { packageRoot } from '../src/dev/package-root.js';
import { auth, lease, useStore } from './store/support.js';
import { testFolder } from './support/folders.js';
import { openJournal } from '../src/journal/open-journal.js';
import { nothingRecalled } from '../src/session/recall/recalled-events.js';

/** One thing of a format as its writer leaves it, and all that reads, changes or removes it. */
interface Written {
  /** All of it as it lies there. */
  state(): Promise<unknown>;
  /** Has it say that it is of this version; null: it says nothing. */
  say(version: number | null): Promise<void>;
  /** What is read of it. */
  read(): Promise<unknown>;
  /** Whatever else must refuse one of a newer version. */
  readonly others?: readonly (() => Promise<unknown>)[];
}

type Row = (place: { folder: TaskFolder; dataDir: string }) => Promise<Written>;

const use = useStore();
const log = pino({ enabled: false });
const ref = { taskId: 't', runId: 'r', assignmentId: 's' };
const record = {
  pid: 4_000_000,
  startTime: 7,
  socket: '/s',
  codexVersion: '0.171.0',
  taskId: 't',
  launchedAt: '2026-01-01T00:00:00Z',
  runId: 'r',
  hostId: 'h',
};

const inFile = (path: string, change: (text: string, version: number | null) => string) => ({
  state: () => readFile(path, 'utf8'),
  say: async (version: number | null) => writeFile(path, change(await readFile(path, 'utf8'), version)),
});

/** Of the first line, as JSON. */
const inJson = (path: string) =>
  inFile(path, (text, version) => {
    const [first = '', ...rest] = text.split('\n');
    const { version: _, ...fields } = JSON.parse(first) as Record<string, unknown>;
    return [JSON.stringify(version === null ? fields : { ...fields, version }), ...rest].join('\n');
  });

/** Of the last number. */
const inNumbers = (path: string, count: number) =>
  inFile(path, (text, version) => {
    const numbers = text.trim().split(' ').slice(0, count);
    return `${[...numbers, ...(version === null ? [] : [version])].join(' ')}\n`;
  });

const inDocument = (collection: Collection<never>, field = 'version') => {
  const documents = collection as unknown as Collection<Document>;
  return {
    state: () => documents.find().toArray(),
    say: async (version: number | null) => {
      const _id = (await documents.find().toArray())[0]!._id;
      const change = version === null ? { $unset: { [field]: 1 as const } } : { $set: { [field]: version } };
      await documents.updateOne({ _id }, change);
    },
  };
};

/** One row for each format; without it this does not compile. */
const ROWS: Record<FormatName, Row> = {
  async task({ folder, dataDir }) {
    await noteBegun(folder, ref, null);
    const lease = { seedId: 'seed', holder: 'h', leaseEpoch: 1 };
    return {
      ...inJson(folder.taskJson),
      read: () => readOwner(folder.taskJson),
      others: [() => noteLease(folder, lease), () => requireKnownFolders(dataDir)],
    };
  },
  async process({ folder, dataDir }) {
    await writeProcessRecord(folder, record);
    return {
      ...inJson(folder.processJson),
      read: () => readProcessRecord(folder),
      others: [
        () => noteSaved(folder, 'sha'),
        () => reapProcess(folder, log),
        () => requireKnownFolders(dataDir),
      ],
    };
  },
  async ledger({ folder, dataDir }) {
    const ledger = await openLedger(folder.ledger);
    await ledger.write({ t: 'close' });
    await ledger.write({ t: 'ending' });
    await ledger.close();
    return {
      ...inFile(folder.ledger, (text, version) => {
        const records = text.split('\n').filter((line) => !line.includes('"format"'));
        return [...(version === null ? [] : [`{"t":"format","version":${version}}`]), ...records].join('\n');
      }),
      read: () => readLedger(folder.ledger),
      others: [
        () => openLedger(folder.ledger),
        () => readLedger(folder.ledger),
        () => requireKnownFolders(dataDir),
      ],
    };
  },
  async segments({ folder, dataDir }) {
    const { journal: path } = folder;
    const journal = await openJournal(path);
    journal.append('{"type":"a"}');
    await journal.close();
    const only = async () => (await readdir(path)).find((name) => name.startsWith('events-'))!;
    return {
      state: async () => [await only(), await readFile(join(path, await only()), 'utf8')],
      async say(version) {
        const plain = segmentName(1).replace(/(\.v\d+)?\.sse$/, '');
        const name = `${plain}${version === null ? '' : `.v${version}`}.sse`;
        await rename(join(path, await only()), join(path, name));
      },
      async read() {
        const opened = await openJournal(path);
        const frames = await opened.read(0, 1_000);
        await opened.close();
        return String(frames?.bytes);
      },
      others: [() => requireKnownFolders(dataDir)],
    };
  },
  async recall({ folder }) {
    await writeCheckpoint(folder.checkpoint, encodeCheckpoint('thread', 3, nothingRecalled(), []));
    return { ...inJson(folder.checkpoint), read: () => readCheckpoint(folder.checkpoint, 'thread', 3) };
  },
  async manifest({ folder }) {
    const members = new Map([['work/a', { state: 'f1', blob: 0 }]]);
    await writeManifest(folder, { key: 'k', blobs: ['b'], sizes: [1], members });
    return { ...inJson(join(folder.root, 'snapshot-manifest')), read: () => readManifest(folder, 'k') };
  },
  async deadline({ folder }) {
    await writeDeadline(folder.root, { boot: 1_000, wall: 2_000 }, 60_000);
    const read = async () => (await readFence(folder.root))?.boot;
    return { ...inNumbers(join(folder.root, 'deadline'), 3), read };
  },
  async fenced({ folder }) {
    await noteFenced(folder, record);
    const read = () => Promise.resolve(isNotedFenced(folder, record));
    return { ...inNumbers(join(folder.root, 'fenced'), 2), read };
  },
  async part() {
    const { store } = use;
    const none = { framesBlobId: null, ledgerBlobId: null };
    await insertPart(store, { ...ref, firstId: 1, lastId: 9, ledgerFrom: 0, ledgerTo: 90, ...none });
    return {
      ...inDocument(partsOf(store) as never),
      read: () => listParts(store, 'r'),
      others: [
        () => partsEnd(store, 'r'),
        () => cutParts(store, 'r', { lastEventId: 0, ledgerBytes: 0 }),
        () => forgetTaskState(store, 'r'),
        () => findRemains(store, 't', { snapshots: new Map(), keys: new Map(), blobs: new Map() }),
      ],
    };
  },
  async snapshot({ folder }) {
    const { store } = use;
    const blobId = '0123456789abcdef01234567';
    const checkpoint = { ...ref, assignment: 0, lastEventId: 0, ledgerBytes: 0, isWhole: true };
    const named = { key: 'k', taskId: 't', runId: 'r', details: { checkpoint } };
    const id = await insertSnapshot(store, { ...named, blobId, sessionId: null, endState: 'running' });
    return {
      ...inDocument(snapshotsOf(store) as never, 'layout'),
      async read() {
        const snapshot = (await latestSnapshot(store, 'k'))!;
        // Its blob is not there: what is said of that is said of a layout that is known.
        return restoreSnapshot(store, snapshot, folder).catch((error: unknown) => {
          if (error instanceof NewerFormat) throw error;
          return (error as { code: string }).code;
        });
      },
      others: [
        () => deleteSnapshot(store, id),
        () => findCheckpoint(store, 'k', 'r'),
        () => findRemains(store, 't', { snapshots: new Map(), keys: new Map(), blobs: new Map() }),
      ],
    };
  },
  async assignment() {
    const { store } = use;
    const assignment = { ...ref, hostId: 'h', ordinal: 0 };
    await beginAssignment(store, assignment);
    return {
      ...inDocument(store.db.collection(`${store.prefix}_codex_assignments`) as never),
      read: () => findAssignment(store, 't'),
      others: [
        () => beginAssignment(store, { ...assignment, assignmentId: 'other' }),
        () => findRemains(store, 't', { snapshots: new Map(), keys: new Map(), blobs: new Map() }),
      ],
    };
  },
  async message() {
    const { store } = use;
    await keepMessage(store, ref, { messageId: 'm', text: 'x' });
    return {
      ...inDocument(store.db.collection(`${store.prefix}_codex_messages`) as never),
      read: () => keptMessages(store, 'r'),
    };
  },
  async mark() {
    const { store } = use;
    await reserveEventIds(store, ref, 0, 9_999);
    return {
      ...inDocument(store.db.collection(`${store.prefix}_codex_event_marks`) as never),
      read: () => eventMark(store, 'r'),
    };
  },
  async seed() {
    const { store } = use;
    const seedId = await insertSeed(store, { authJson: auth('first'), pool: 'main' });
    return {
      ...inDocument(seedsOf(store) as never, 'manifestVersion'),
      read: () => readSeed(store, seedId),
      others: [
        () => exportSeed(store, seedId),
        () => rekeyed(store),
        () => deleteSeed(store, seedId, { force: true }),
        () => purgeSeed(store, seedId, { force: true }),
      ],
    };
  },
  async quarantine() {
    const { store } = use;
    const held = { seedId: '0123456789abcdef01234567', holder: 't/r/s', leaseEpoch: 1 };
    const quarantineId = await quarantineAuth(store, held, auth('kept'), { taskId: 't', reason: 'lost' });
    return {
      ...inDocument(quarantineOf(store) as never),
      read: () => readQuarantined(store, quarantineId),
      others: [
        () => findQuarantined(store, quarantineId),
        () => deleteQuarantined(store, quarantineId),
        () => dismissQuarantined(store, quarantineId),
        () => restoreQuarantined(store, quarantineId, { force: true }),
        () => rekeyed(store),
        () => purgeSeed(store, held.seedId),
      ],
    };
  },
  async host() {
    const { store } = use;
    const entry = { hostId: 'h', listenerUrl: '', version: '', ttlMs: 60_000 };
    await registerHost(store, entry, [ref]);
    const read = async () => {
      const { alive, epoch, evict } = (await findHost(store, 'h'))!;
      return { alive, epoch, evict };
    };
    return { ...inDocument(hostsOf(store) as never, 'format'), read };
  },
  async waiter() {
    const { store } = use;
    await insertSeed(store, { authJson: auth('leased'), pool: 'main' });
    await lease(store, { pool: 'main' }, 'somebody');
    await acquireInTurn(store, { pool: 'main' }, ref, 60_000);
    return {
      ...inDocument(store.db.collection(`${store.prefix}_codex_waiters`) as never),
      read: () => waitersOfTask(store, 't'),
    };
  },
};

/** @throws what one of the credentials was left alone for */
async function rekeyed(store: Store): Promise<void> {
  for await (const each of rekeyAll(store))
    if (each.outcome === 'failed') throw new TaskError('HostUnfit', each.reason);
}

const written = async (name: FormatName): Promise<Written> => {
  const dataDir = await testFolder();
  const folder = taskFolder(dataDir, 't');
  await mkdir(dirname(folder.ledger), { recursive: true });
  return ROWS[name]({ folder, dataDir });
};

const names = Object.keys(FORMATS) as FormatName[];
const newerThan = (name: FormatName) => FORMATS[name].version + 1;
const which = (newer: (typeof FORMATS)[FormatName]['newer']) =>
  names.filter((name) => FORMATS[name].newer === newer);

describe('what is persisted', () => {
  // A segment of the first version has the plain name, and a checkpoint of events that names none is made anew.
  it.each(names.filter((name) => name !== 'segments'))('names its version: %s', async (name) => {
    const each = await written(name);
    const before = await each.state();
    await each.say(FORMATS[name].version);
    expect(await each.state()).toEqual(before);
  });

  it.each(names.filter((name) => name !== 'recall'))('is read when it names no version: %s', async (name) => {
    const each = await written(name);
    const before = await each.read();
    expect(before).toBeTruthy();
    await each.say(null);
    expect(await each.read()).toEqual(before);
  });

  it.each(which('refused'))('is refused and left as it is when a newer worker wrote it: %s', async (name) => {
    const each = await written(name);
    await each.say(newerThan(name));
    const before = await each.state();
    for (const read of [() => each.read(), ...(each.others ?? [])])
      await expect(read(), String(read)).rejects.toThrow(
        new RegExp(`of version ${newerThan(name)}, and this host's codex-task-worker reads .*: upgrade it`),
      );
    expect(await each.state()).toEqual(before);
  });

  it.each(which('ignored'))('is ignored when a newer worker wrote it: %s', async (name) => {
    const each = await written(name);
    await each.say(newerThan(name));
    const before = await each.state();
    expect(await each.read()).toBeNull();
    expect(await each.state()).toEqual(before);
  });

  it.each(which('first fields'))('keeps its first fields in every version: %s', async (name) => {
    const each = await written(name);
    const before = await each.read();
    await each.say(newerThan(name));
    expect(await each.read()).toEqual(before);
  });
});

it('a Codex can be found and stopped by a process record of any version', async () => {
  const folder = taskFolder(await testFolder(), 't');
  await mkdir(folder.root, { recursive: true });
  await writeFile(folder.processJson, JSON.stringify({ ...record, version: 9 }));
  expect(await findProcess(folder)).toMatchObject({ pid: record.pid, startTime: 7 });
});

it('a ledger of an earlier worker is continued, and takes the current version', async () => {
  const path = join(await testFolder(), 'ledger.jsonl');
  await writeFile(path, '{"t":"close"}\n');
  const ledger = await openLedger(path);
  expect(ledger.past).toEqual([{ t: 'close' }]);
  await ledger.write({ t: 'ending' });
  await ledger.write({ t: 'stopped' });
  await ledger.close();
  const head = `{"t":"format","version":${FORMATS.ledger.version}}`;
  expect(await readFile(path, 'utf8')).toBe(`{"t":"close"}\n${head}\n{"t":"ending"}\n{"t":"stopped"}\n`);
  expect((await readLedger(path)).map(({ t }) => t)).toEqual(['close', 'ending', 'stopped']);
});

it('a newer seed is not leased, and its refreshed token goes to quarantine', async () => {
  const { store } = use;
  const seedId = await insertSeed(store, { authJson: auth('first'), pool: 'main' });
  const held = await lease(store, { pool: 'main' }, 't/r/s');
  await seedsOf(store).updateOne({}, { $set: { manifestVersion: newerThan('seed') } });
  const { blobId } = (await seedsOf(store).findOne())!;
  expect(await saveBack(store, held, auth('second'), { taskId: 't' })).toMatchObject({ kind: 'quarantined' });
  await releaseLease(store, held);
  expect(await acquireSeed(store, { pool: 'main' }, 'other', 60_000)).not.toMatchObject({ kind: 'leased' });
  expect(await seedsOf(store).findOne()).toMatchObject({ blobId, manifestVersion: newerThan('seed') });
  expect((await listQuarantine(store, seedId)).map(({ reason }) => reason)).toEqual([
    `Seed ${seedId} is of version 2, and this host's codex-task-worker reads 1: upgrade it`,
  ]);
});

it('a snapshot of a newer worker is never removed to make room', async () => {
  const { store } = use;
  const fields = { key: 'k', blobId: '0123456789abcdef01234567', sessionId: null, endState: 'done' } as const;
  for (let made = 0; made < 2; made++) await insertSnapshot(store, fields);
  await snapshotsOf(store).updateOne({}, { $set: { layout: newerThan('snapshot') } });
  await pruneSnapshots(store, 'k', 0);
  expect((await listSnapshots(store, 'k')).map(({ layout }) => layout)).toEqual([newerThan('snapshot')]);
});

it('ARCHITECTURE.md lists every format, its version and the fate of newer ones', async () => {
  const [, part = ''] = (await readFile(join(packageRoot, 'ARCHITECTURE.md'), 'utf8')).split('## Formats\n');
  const rows = part.split('\n## ')[0]!.matchAll(/^\| `(.+?)` +\| (\d+) +\| (.+?) +\|$/gm);
  const said = [...rows].map(([, where, version, newer]) => ({ version: Number(version), where, newer }));
  expect(said).toEqual(
    Object.values(FORMATS).map(({ version, where, newer }) => ({ version, where, newer })),
  );
});

it('an activity that meets a newer format fails so that another host is tried', async () => {
  const { step } = asActivities({ step: () => Promise.reject(new NewerFormat('snapshot', 9)) });
  await expect(step()).rejects.toMatchObject({
    type: 'HostUnfit',
    nonRetryable: true,
    details: [{ fault: 'lasting' }],
  });
});
