import type { Command } from 'commander';
import { TaskError } from '../errors.js';
import type { Store } from '../store/mongo.js';
import type { Snapshot } from '../store/snapshots.js';
import type { CliIo } from './io.js';
import { printable, type Paint } from './output.js';
import { row } from './result-text.js';
import { withStore } from './with-store.js';

interface JsonFlag {
  json?: true;
}

/** `codex-task snapshots ls | show | download | delete` */
export function addSnapshots(program: Command, io: CliIo): void {
  const snapshots = program.command('snapshots').description('saved workdirs: list, unpack, delete');
  snapshots
    .command('ls')
    .description('list snapshots, newest first')
    .argument('[key]', 'only those of this key (a task id, unless its input gave another)')
    .option('--json', 'a JSON line for each snapshot')
    .action((key: string | undefined, { json }: JsonFlag) => list(key, json, io));
  snapshots
    .command('show')
    .description('show a snapshot')
    .argument('<snapshot-id>')
    .option('--json', 'one JSON line on stdout')
    .action((id: string, { json }: JsonFlag) => show(id, json, io));
  snapshots
    .command('download')
    .description('unpack a snapshot into a new folder, as `work` and `home/.codex`')
    .argument('<snapshot-id>')
    .argument('[folder]', 'a folder that does not exist yet (default: snapshot-<id>)')
    .option('--json', 'one JSON line on stdout')
    .action((id: string, folder: string | undefined, { json }: JsonFlag) => download(id, folder, json, io));
  snapshots
    .command('delete')
    .description('delete snapshots with what only they hold')
    .argument('<snapshot-id...>')
    .option('--json', 'a JSON line for each snapshot')
    .action((ids: string[], { json }: JsonFlag) => remove(ids, json, io));
}

async function list(key: string | undefined, json: true | undefined, io: CliIo): Promise<void> {
  const output = io.output(json);
  const found = await withStore(io, async (store) => {
    const { listSnapshots } = await import('../store/snapshots.js');
    return listSnapshots(store, key);
  });
  for (const snapshot of found) output.result(viewOf(snapshot), lineOf(snapshot, output.paint));
  if (found.length === 0 && !output.json) output.note('No snapshots.');
}

async function show(id: string, json: true | undefined, io: CliIo): Promise<void> {
  const output = io.output(json);
  await withStore(io, async (store) => {
    const snapshot = await required(store, id);
    const { findBlob } = await import('../store/blobs.js');
    const blobIds = [snapshot.blobId, ...snapshot.changeBlobIds];
    const blobs = await Promise.all(blobIds.map((blobId) => findBlob(store, blobId)));
    const missing = blobIds.filter((_, i) => !blobs[i]);
    const storedBytes = blobs.reduce((sum, blob) => sum + (blob?.length ?? 0), 0);
    const view = { ...viewOf(snapshot), storedBytes, missing, skipped: snapshot.skipped };
    output.result(view, textOf(snapshot, storedBytes, missing, output.paint));
  });
}

async function download(
  id: string,
  folder = `snapshot-${id}`,
  json: true | undefined,
  io: CliIo,
): Promise<void> {
  const output = io.output(json);
  await withStore(io, async (store) => {
    const snapshot = await required(store, id);
    const { downloadSnapshot } = await import('../snapshots/download-snapshot.js');
    const path = await downloadSnapshot(store, snapshot, folder);
    output.result({ snapshotId: id, path }, `${output.paint.green('unpacked')} ${path}`);
  });
}

async function remove(ids: readonly string[], json: true | undefined, io: CliIo): Promise<void> {
  const output = io.output(json);
  await withStore(io, async (store) => {
    const { deleteSnapshot } = await import('../store/snapshots.js');
    for (const id of ids) {
      if (!(await deleteSnapshot(store, id))) throw new TaskError('NotFound', `no snapshot ${id}`);
      output.result({ snapshotId: id, deleted: true }, `${output.paint.green('deleted')} ${id}`);
    }
  });
}

async function required(store: Store, id: string): Promise<Snapshot> {
  const { findSnapshot } = await import('../store/snapshots.js');
  const snapshot = await findSnapshot(store, id);
  if (snapshot) return snapshot;
  throw new TaskError('NotFound', `no snapshot ${id}`);
}

const viewOf = ({ id, key, capturedAt, endState, sessionId, ...more }: Snapshot) => ({
  snapshotId: id,
  key,
  capturedAt: capturedAt.toISOString(),
  endState,
  threadId: sessionId,
  contentBytes: more.contentBytes,
  entries: more.entries,
  layout: more.layout,
});

function lineOf({ id, key, capturedAt, endState, contentBytes }: Snapshot, paint: Paint): string {
  const size = contentBytes === null ? '' : megabytes(contentBytes);
  const when = paint.dim(capturedAt.toISOString());
  return `${id} ${printable(key).padEnd(28)} ${endState.padEnd(10)} ${size.padStart(10)} ${when}`;
}

function textOf(snapshot: Snapshot, storedBytes: number, missing: readonly string[], paint: Paint): string {
  const { id, key, capturedAt, endState, sessionId, contentBytes, entries, skipped } = snapshot;
  const rows: [string, string | null][] = [
    ['key', printable(key)],
    ['taken', capturedAt.toISOString()],
    ['task', endState === 'running' ? 'running (a checkpoint)' : endState],
    ['thread', sessionId],
    ['content', contentBytes === null ? null : `${megabytes(contentBytes)}, ${entries} entries`],
    ['stored', megabytes(storedBytes)],
    ['missing', missing.length > 0 ? `${missing.join(', ')}: it cannot be restored` : null],
    ...(skipped?.first ?? []).map(({ name, why }): [string, string] => [
      'left out',
      `${printable(name)} (${why})`,
    ]),
  ];
  const shown = rows.flatMap(([label, value]) => (value === null ? [] : [row(label, value, paint)]));
  return [id, ...shown].join('\n');
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
