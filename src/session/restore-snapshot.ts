import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { reasonOf, TaskError } from '../errors.js';
import { openBlob } from '../store/blobs.js';
import type { Store } from '../store/mongo.js';
import { findSnapshot, latestSnapshot, type Snapshot } from '../store/snapshots.js';
import type { TaskSpec } from '../task-input.js';
import { removeFolder } from './remove-folder.js';
import type { TaskFolder } from './task-folder.js';

const MAX_BYTES = 64 * 1024 * 1024 * 1024;
const MAX_ENTRIES = 5_000_000;

/**
 * The snapshot a task resumes from; null when its key has none yet.
 * @throws TaskError `SnapshotUnreadable` for an unknown id
 */
export async function findResume(
  store: Store,
  resume: NonNullable<TaskSpec['resume']>,
): Promise<Snapshot | null> {
  if ('snapshotKey' in resume) return latestSnapshot(store, resume.snapshotKey);
  const snapshot = await findSnapshot(store, resume.snapshotId);
  if (snapshot) return snapshot;
  throw new TaskError('SnapshotUnreadable', `Snapshot ${resume.snapshotId} is unknown`);
}

/**
 * Unpacks a snapshot beside the task's folder and moves it into place when it is whole. Nothing in it can
 * reach outside: names with `..` are refused, links are made last and never followed, devices are left out.
 * @throws TaskError `SnapshotUnreadable`; the folder is as before then
 */
export async function restoreSnapshot(store: Store, snapshot: Snapshot, folder: TaskFolder): Promise<void> {
  const staging = await mkdtemp(join(folder.root, 'restore-'));
  try {
    await unpack(await openBlob(store, snapshot.blobId), staging, snapshot.layout);
    await moveInto(join(staging, 'work'), folder.work);
    await moveInto(join(staging, 'home', '.codex', 'sessions'), join(folder.codexHome, 'sessions'));
    await moveInto(join(staging, 'home', '.codex', 'config.toml'), join(folder.codexHome, 'config.toml'));
  } catch (error) {
    throw new TaskError(
      'SnapshotUnreadable',
      `Snapshot ${snapshot.id} cannot be restored: ${reasonOf(error)}`,
      {
        cause: error,
      },
    );
  } finally {
    await removeFolder(staging);
  }
}

async function moveInto(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await rm(to, { recursive: true, force: true });
  await rename(from, to).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    if (to.endsWith('work')) await mkdir(to, { mode: 0o700 });
  });
}

async function unpack(blob: Readable, staging: string, layout: Snapshot['layout']): Promise<void> {
  const links: { path: string; target: string }[] = [];
  const times: { path: string; mtime: Date }[] = [];
  const tar = extract();
  let bytes = 0;
  let entries = 0;
  const unpacking = pipeline(blob, createGunzip(), tar);
  unpacking.catch(() => undefined);
  for await (const entry of tar) {
    const { header } = entry;
    bytes += header.size ?? 0;
    if (++entries > MAX_ENTRIES || bytes > MAX_BYTES) throw new Error('it is larger than any workdir may be');
    const path = placeOf(header, staging, layout);
    if (path === null) entry.resume();
    else await writeOne(entry as unknown as Readable, header, path, links, times);
  }
  await unpacking;
  for (const { path, target } of links) {
    await mkdir(dirname(path), { recursive: true });
    await symlink(target, path);
  }
  // Filling a folder changes its time.
  for (const { path, mtime } of times.reverse()) await utimes(path, mtime, mtime);
}

async function writeOne(
  entry: Readable,
  header: Header,
  path: string,
  links: { path: string; target: string }[],
  times: { path: string; mtime: Date }[],
): Promise<void> {
  if (header.type === 'directory') {
    await mkdir(path, { recursive: true, mode: (header.mode ?? 0o755) | 0o700 });
    if (header.mtime) times.push({ path, mtime: header.mtime });
  } else if (header.type === 'symlink' && header.linkname) links.push({ path, target: header.linkname });
  else if (header.type === 'file') {
    await mkdir(dirname(path), { recursive: true });
    await pipeline(entry, createWriteStream(path, { flags: 'wx', mode: header.mode ?? 0o644 }));
    if (header.mtime) await utimes(path, header.mtime, header.mtime);
    return;
  }
  entry.resume();
}

/** Where a member goes, or null for what is not taken. */
function placeOf({ name }: Header, staging: string, layout: Snapshot['layout']): string | null {
  const plain = normalize(name.replace(/^(\.\/)+/, ''));
  if (plain === '.' || plain === '') return null;
  if (plain.startsWith('/') || plain.split('/').includes('..') || plain.includes('\0'))
    throw new Error(`a name in it leads outside: ${JSON.stringify(name)}`);
  const isHome = plain === 'home' || plain.startsWith('home/');
  const placed = layout === 2 || isHome ? plain : `work/${plain}`;
  if (!isHome) return placed.startsWith('work') ? join(staging, placed) : null;
  return /^home\/\.codex\/(config\.toml|sessions(\/.*)?)\/?$/.test(placed) ? join(staging, placed) : null;
}
