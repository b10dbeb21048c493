import { Argument, type Command } from 'commander';
import type { RemoveResult } from '../../store/remove-seed.js';
import { TaskError } from '../../errors.js';
import type { CliIo } from '../io.js';
import { withStore } from '../with-store.js';
import { collectMetadata } from './metadata.js';
import { leasedSeed, unknownSeed } from './refusals.js';

interface Flags {
  json?: true;
}

interface AssignFlags extends Flags {
  pool?: string;
  metadata?: Record<string, unknown>;
}

type RemoveFlags = Flags & { force?: true };

/** `codex-task seeds mark | assign | delete | purge` */
export function addSeedChanges(seeds: Command, io: CliIo): void {
  seeds
    .command('mark')
    .description('mark a seed alive or dead; a dead one is never leased')
    .argument('<seed-id>')
    .addArgument(new Argument('<status>').choices(['alive', 'dead']))
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, status: 'alive' | 'dead', flags: Flags) => mark(seedId, status, flags, io));

  seeds
    .command('assign')
    .description('move a seed to a pool, or set keys of its metadata')
    .argument('<seed-id>')
    .option('--pool <pool>', 'the pool to move it to')
    .option('--metadata <key=value>', 'set this key and keep the others (repeatable)', collectMetadata)
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, flags: AssignFlags) => assign(seedId, flags, io));

  addRemoval(seeds, io, 'delete', 'take a seed out of use; its credential is deleted a day later');
  addRemoval(
    seeds,
    io,
    'purge',
    'delete a seed with its credential, all earlier ones and its quarantine now',
  );
}

async function mark(seedId: string, status: 'alive' | 'dead', { json }: Flags, io: CliIo): Promise<void> {
  const output = io.output(json);
  const { markSeed } = await import('../../store/assign-seed.js');
  if (!(await withStore(io, (store) => markSeed(store, seedId, status)))) throw unknownSeed(seedId);
  output.result({ seedId, status }, `${output.paint.green(`marked ${status}`)} ${seedId}`);
}

async function assign(seedId: string, { pool, metadata, json }: AssignFlags, io: CliIo): Promise<void> {
  if (pool === undefined && metadata === undefined)
    throw new TaskError('BadInput', 'Nothing to change: give --pool, --metadata or both');
  const output = io.output(json);
  const { assignSeed } = await import('../../store/assign-seed.js');
  const assignment = { ...(pool !== undefined && { pool }), ...(metadata && { metadata }) };
  if (!(await withStore(io, (store) => assignSeed(store, seedId, assignment)))) throw unknownSeed(seedId);
  output.result({ seedId, ...assignment }, `${output.paint.green('assigned')} ${seedId}`);
}

function addRemoval(seeds: Command, io: CliIo, name: 'delete' | 'purge', description: string): void {
  seeds
    .command(name)
    .description(description)
    .argument('<seed-id>')
    .option('--force', 'even when it is leased; later saves of its holder go to quarantine')
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, flags: RemoveFlags) => remove(name, seedId, flags, io));
}

async function remove(
  name: 'delete' | 'purge',
  seedId: string,
  { force = false, json }: { force?: boolean; json?: true },
  io: CliIo,
): Promise<void> {
  const output = io.output(json);
  const { deleteSeed, purgeSeed } = await import('../../store/remove-seed.js');
  const removed: RemoveResult = await withStore(io, (store) =>
    (name === 'delete' ? deleteSeed : purgeSeed)(store, seedId, { force }),
  );
  if (removed.kind === 'unknown') throw unknownSeed(seedId);
  if (removed.kind === 'leased') throw leasedSeed(seedId, removed, 'close that task first, or --force');
  const { blobId } = removed;
  output.result(
    { seedId, blobId },
    `${output.paint.green(name === 'delete' ? 'deleted' : 'purged')} ${seedId}`,
  );
}
