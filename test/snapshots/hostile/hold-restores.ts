import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Binary, type ObjectId } from 'mongodb';
import { expect, onTestFinished, test } from 'vitest';
import { TaskError } from '../../../src/errors.js';
import { onceLate } from '../../../src/async/time-limit.js';
import { removeFolder } from '../../../src/task-folder/remove-folder.js';
import { taskFolder, type TaskFolder } from '../../../src/task-folder/task-folder.js';
import { downloadSnapshot } from '../../../src/snapshots/download-snapshot.js';
import { restoreSnapshot } from '../../../src/snapshots/restore-snapshot.js';
import type { Store } from '../../../src/store/mongo.js';
import type { Snapshot } from '../../../src/store/snapshots.js';
import { testFolder } from '../../support/folders.js';
import { seeded } from '../../support/seeded.js';
import { generateSnapshot, type HostileSnapshot } from './generate-archive.js';

const SEED = 20_261_130;
const LATE_MS = 30_000;

/** Restores and downloads so many generated snapshots, and looks after each at all that is around. */
export function holdRestores(count: number): void {
  test(
    `of ${count} hostile archives none changes, links or shows anything outside`,
    { timeout: 300_000 },
    async () => {
      const { root, outside, folder } = await world();
      const next = seeded(SEED);
      const random = (below: number) => Math.floor(next() * below);
      const before = listing(root, [folder.root]);
      const counts = { restored: 0, refused: 0, downloads: 0 };
      for (let i = 0; i < count; i++) {
        const hostile = await generateSnapshot(random, outside);
        const { store, snapshot } = stored(hostile);
        const about = () => `archive ${i} of seed ${SEED}`;
        fillTask(folder);
        const kept = listing(folder.root, []);
        const isRestored = await outcome(about(), () => restoreSnapshot(store, snapshot, folder));
        counts[isRestored ? 'restored' : 'refused']++;
        if (isRestored) expectOwn(folder, outside, about());
        else expect(listing(folder.root, []), about()).toEqual(kept);
        await removeFolder(folder.root);
        if (i % 3 === 0) {
          const target = join(root, 'download');
          const isDownloaded = await outcome(about(), () => downloadSnapshot(store, snapshot, target));
          expect(isDownloaded, about()).toBe(isRestored);
          counts.downloads++;
          if (isDownloaded) expectPlain(target, about());
          await removeFolder(target);
        }
        expect(listing(root, [folder.root]), about()).toEqual(before);
      }
      console.log(`hostile archives of seed ${SEED}:`, JSON.stringify(counts));
      // They reach every part: not all are refused at once, and not all are harmless.
      expect(counts.restored).toBeGreaterThan(count / 5);
      expect(counts.refused).toBeGreaterThan(count / 5);
    },
  );
}

/** Whether it went well; what is not said as the snapshot's fault fails the test. */
async function outcome(about: string, run: () => Promise<unknown>): Promise<boolean> {
  try {
    await inTime(run());
    return true;
  } catch (error) {
    expect(error, `${about}: ${String(error)}`).toBeInstanceOf(TaskError);
    expect((error as TaskError).code, `${about}: ${String(error)}`).toBe('SnapshotUnreadable');
    return false;
  }
}

/** An archive that keeps its reader waiting for ever fails, and is named. */
async function inTime(work: Promise<unknown>): Promise<void> {
  let done = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    done = onceLate(LATE_MS, () => reject(new Error('it is neither restored nor refused')));
  });
  try {
    await Promise.race([work, late]);
  } finally {
    done();
  }
}

async function world() {
  const root = await testFolder();
  const outside = join(root, 'outside');
  mkdirSync(join(outside, 'folder'), { recursive: true, mode: 0o750 });
  writeFileSync(join(outside, 'secret'), 'secret', { mode: 0o640 });
  const folder = taskFolder(join(root, 'data'), 'a');
  mkdirSync(folder.root, { recursive: true });
  writeFileSync(join(root, 'data', 'listener-secret'), 'secret');
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return { root, outside, folder };
}

function fillTask(folder: TaskFolder): void {
  for (const path of [folder.work, folder.codexHome, folder.journal]) mkdirSync(path, { recursive: true });
  writeFileSync(join(folder.work, 'mine'), 'kept');
  writeFileSync(folder.authJson, 'account');
  writeFileSync(folder.processJson, '{}');
  writeFileSync(folder.ledger, '');
}

/** All that is below a folder, with what an attack would change of it. */
function listing(folder: string, without: readonly string[]): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (without.includes(path)) return [];
    const { mode, nlink, mtimeMs } = lstatSync(path);
    const own = `${path} ${mode.toString(8)}`;
    if (entry.isDirectory()) return [own, ...listing(path, without)];
    return [`${own} ${nlink} ${mtimeMs} ${entry.isFile() ? readFileSync(path, 'utf8') : readlinkSync(path)}`];
  });
}

/** What was restored is the task's own, and beside `work` and the record all is as it was. */
function expectOwn(folder: TaskFolder, outside: string, about: string): void {
  expect(readdirSync(folder.root).sort(), about).toEqual(['home', 'journal', 'process.json', 'work']);
  expect(readFileSync(folder.authJson, 'utf8'), about).toBe('account');
  const home = readdirSync(folder.codexHome).filter(
    (name) => !['auth.json', 'config.toml', 'sessions'].includes(name),
  );
  expect(home, about).toEqual([]);
  const inode = lstatSync(join(outside, 'secret')).ino;
  for (const { path, kind, mode, ino } of entriesOf(folder.root)) {
    expect(kind, `${about}: ${path}`).not.toBe('other');
    expect(ino, `${about}: ${path}`).not.toBe(inode);
    expect(mode & 0o6000, `${about}: ${path}`).toBe(0);
    if (path.startsWith(folder.home)) expect(kind, `${about}: ${path}`).not.toBe('link');
  }
}

function expectPlain(folder: string, about: string): void {
  for (const { path, kind, mode } of entriesOf(folder)) {
    expect(kind, `${about}: ${path}`).not.toBe('other');
    expect(mode & 0o6000, `${about}: ${path}`).toBe(0);
  }
}

function entriesOf(
  folder: string,
): { path: string; kind: 'file' | 'folder' | 'link' | 'other'; mode: number; ino: number }[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    const { mode, ino } = lstatSync(path);
    const kind = entry.isFile()
      ? 'file'
      : entry.isDirectory()
        ? 'folder'
        : entry.isSymbolicLink()
          ? 'link'
          : 'other';
    return [
      { path, kind, mode: kind === 'link' ? 0 : mode, ino },
      ...(kind === 'folder' ? entriesOf(path) : []),
    ];
  });
}

/** A store that has these archives and nothing else: thousands would take a database too long. */
function stored({ archives, layout, contentBytes }: HostileSnapshot): { store: Store; snapshot: Snapshot } {
  const idOf = (index: number) => index.toString(16).padStart(24, '0');
  const ids = archives.map((_, index) => idOf(index));
  const bytesOf = (id: ObjectId) => archives[ids.indexOf(id.toHexString())]!;
  const files = {
    findOne: async ({ _id }: { _id: ObjectId }) => ({
      _id,
      length: bytesOf(_id).length,
      chunkSize: 255 * 1024,
    }),
  };
  const chunks = {
    find: ({ files_id }: { files_id: ObjectId }) =>
      Object.assign(chunksOf(bytesOf(files_id)), { close: () => Promise.resolve() }),
  };
  const db = { collection: (name: string) => (name === 'fs.files' ? files : chunks) };
  const snapshot = {
    id: 'hostile',
    key: 'k',
    blobId: ids[0]!,
    changeBlobIds: ids.slice(1),
    layout,
    contentBytes,
  };
  return { store: { db } as unknown as Store, snapshot: snapshot as unknown as Snapshot };
}

async function* chunksOf(bytes: Buffer) {
  for (let n = 0; n * 1_000 < bytes.length; n++)
    yield { n, data: new Binary(bytes.subarray(n * 1_000, (n + 1) * 1_000)) };
}
