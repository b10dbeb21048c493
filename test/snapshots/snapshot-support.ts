import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Config } from '../../src/config.js';
import { restoreSnapshot } from '../../src/snapshots/restore-snapshot.js';
import { takeSnapshot, type SnapshotCall } from '../../src/snapshots/take-snapshot.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { findSnapshot, type Snapshot } from '../../src/store/snapshots.js';
import type { Store } from '../../src/store/mongo.js';
import type { SnapshotArguments } from '../../src/contract/activities.js';
import { testFolder } from '../support/folders.js';

/** A task's folder on a host of its own, and what takes its snapshots as the worker does. */
export interface SnapshotHost {
  readonly folder: TaskFolder;
  /** What the worker logged. */
  readonly logged: Record<string, unknown>[];
  /** What each snapshot said that it does not have. */
  readonly warned: (readonly string[])[];
  readonly take: (args?: Partial<SnapshotArguments>, call?: Partial<SnapshotCall>) => Promise<Snapshot>;
}

let requests = 0;

export async function snapshotHost(store: Store, key = 'k'): Promise<SnapshotHost> {
  const dataDir = await testFolder();
  const folder = taskFolder(dataDir, 'a');
  for (const path of [folder.work, folder.codexHome]) await mkdir(path, { recursive: true, mode: 0o700 });
  const logged: Record<string, unknown>[] = [];
  const write = (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>);
  const warned: (readonly string[])[] = [];
  const host = { config: { dataDir } as Config, store, log: pino({}, { write }) };
  return {
    folder,
    logged,
    warned,
    async take(args = {}, call = {}) {
      const settings = { key, keep: 5, checkpoint: 'turn', exclude: null } as const;
      const ref = { taskId: 'a', runId: 'r', assignmentId: 's' };
      const { snapshotId, warnings } = await takeSnapshot(
        host,
        { ref, settings, kind: 'end', endState: 'done', threadId: 't', ...args },
        { request: `r/${++requests}`, ...call },
      );
      warned.push(warnings ?? []);
      const taken = await findSnapshot(store, snapshotId);
      if (!taken) throw new Error(`There is no snapshot ${snapshotId}`);
      return taken;
    },
  };
}

export const checkpoint = { kind: 'checkpoint', endState: 'running' } as const;

/** The folder of a task into which this snapshot was restored. */
export async function restored(store: Store, snapshot: Snapshot): Promise<TaskFolder> {
  const folder = taskFolder(await testFolder(), 'a');
  for (const path of [folder.work, folder.codexHome]) await mkdir(path, { recursive: true, mode: 0o700 });
  await restoreSnapshot(store, snapshot, folder);
  return folder;
}

export const at = (folder: TaskFolder, ...path: string[]): string => join(folder.work, ...path);
