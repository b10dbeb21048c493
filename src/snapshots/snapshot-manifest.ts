import type { BigIntStats } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isNewer, versioned } from '../formats.js';
import { createSlices } from './slices.js';
import type { TaskFolder } from '../task-folder/task-folder.js';
import { replaceFile } from '../task-folder/own-file.js';

/**
 * What the last snapshot of a task found: for each member the state in which it was read and which blob holds
 * it. A file whose state is still the same is neither read nor stored again.
 */
export interface SnapshotManifest {
  readonly key: string;
  /** Ids of the blobs: the whole archive, then what changed since, oldest first. */
  readonly blobs: readonly string[];
  /** Bytes of content in each of them, before compression. */
  readonly sizes: readonly number[];
  readonly members: ReadonlyMap<string, Member>;
}

export interface Member {
  /** Empty: read too soon after its last change to be sure of it. */
  readonly state: string;
  /** Index into `blobs`. */
  readonly blob: number;
}

/** The member of an archive of changes that lists what was removed since the ones before, as a JSON array. */
export const REMOVED = 'removed.json';

/** More are not remembered: each checkpoint is a whole archive then. */
export const MAX_MEMBERS = 100_000;

/** Changed so shortly before it was read, a file may change again without another time. Nanoseconds. */
const UNSURE_NS = 100_000_000n;

/**
 * Tells one state of a file from any other: what the system changes with its content, name or rights. Size,
 * both times in nanoseconds, inode, rights, and how many names it has.
 */
export const fileStateOf = (type: string, stat: BigIntStats): string =>
  `${type[1]}${stat.mode}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}:${stat.ino}:${stat.nlink}`;

/** The state as it is remembered when the member was read after `readAtMs` (since the epoch). */
export const knownState = (type: string, stat: BigIntStats, readAtMs: number): string =>
  stat.ctimeNs > BigInt(readAtMs) * 1_000_000n - UNSURE_NS ? '' : fileStateOf(type, stat);

const pathOf = (folder: TaskFolder): string => join(folder.root, 'snapshot-manifest');

/** The first line. */
type Head = Omit<SnapshotManifest, 'members'> & { count: number; version?: unknown };

/** Replaces the manifest at once; null removes it. */
export async function writeManifest(folder: TaskFolder, manifest: SnapshotManifest | null): Promise<void> {
  const path = pathOf(folder);
  if (!manifest || manifest.members.size > MAX_MEMBERS) return rm(path, { force: true });
  const { members, ...head } = manifest;
  const slices = createSlices();
  const lines = [JSON.stringify(versioned('manifest', { ...head, count: members.size }))];
  for (const [name, { state, blob }] of members) {
    lines.push(`${blob} ${state} ${JSON.stringify(name)}`);
    const pause = slices.pause();
    if (pause) await pause;
  }
  await replaceFile(path, `${lines.join('\n')}\n`);
}

/** The manifest of the last snapshot; null when there is none, when it is cut off, of another key, or of a newer worker. */
export async function readManifest(folder: TaskFolder, key: string): Promise<SnapshotManifest | null> {
  const text = await readFile(pathOf(folder), 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    const lines = text.split('\n');
    const { count, version, ...head } = JSON.parse(lines[0]!) as Head;
    if (isNewer('manifest', version) || head.key !== key || lines.length !== count + 2) return null;
    const members = new Map<string, Member>();
    const slices = createSlices();
    for (let at = 1; at <= count; at++) {
      const [blob, state, name] = fieldsOf(lines[at]!);
      // Most names need no parsing.
      const plain = name.includes('\\') ? (JSON.parse(name) as string) : name.slice(1, -1);
      members.set(plain, { blob: Number(blob), state });
      const pause = slices.pause();
      if (pause) await pause;
    }
    return { ...head, members };
  } catch {
    return null;
  }
}

function fieldsOf(line: string): readonly [string, string, string] {
  const first = line.indexOf(' ');
  const second = line.indexOf(' ', first + 1);
  return [line.slice(0, first), line.slice(first + 1, second), line.slice(second + 1)];
}
