import type { Command } from 'commander';
import { TaskError } from '../../errors.js';
import type { CliIo } from '../io.js';
import { withStore } from '../with-store.js';
import { unknownSeed } from './refusals.js';
import { reportRestored } from './restored.js';

/** `codex-task seeds previous list | restore` */
export function addSeedPrevious(seeds: Command, io: CliIo): void {
  const previous = seeds.command('previous').description('the last three replaced credentials of a seed');

  previous
    .command('list')
    .alias('ls')
    .description('list them, newest first')
    .argument('<seed-id>')
    .option('--json', 'a JSON line for each')
    .action((seedId: string, flags: { json?: true }) => list(seedId, flags, io));

  previous
    .command('restore')
    .description('restore one; the replaced credential takes its place')
    .argument('<seed-id>')
    .argument('<blob-id>')
    .option('--force', 'even when the seed holds a newer credential, as it usually does')
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, blobId: string, flags: { force?: true; json?: true }) =>
      restore(seedId, blobId, flags, io),
    );
}

async function list(seedId: string, { json }: { json?: true }, io: CliIo): Promise<void> {
  const output = io.output(json);
  const { listPrevious } = await import('../../store/previous-blobs.js');
  const previous = await withStore(io, (store) => listPrevious(store, seedId));
  if (!previous) throw unknownSeed(seedId);
  for (const each of previous) {
    const when = each.storedAt?.toISOString() ?? 'gone from the database';
    output.result(each, `${each.blobId}  ${output.paint.dim(when)}`);
  }
  if (previous.length === 0 && !output.json) output.note(`Seed ${seedId} has held no other credential.`);
}

async function restore(
  seedId: string,
  blobId: string,
  { force = false, json }: { force?: boolean; json?: true },
  io: CliIo,
): Promise<void> {
  const { restorePrevious } = await import('../../store/restore.js');
  const result = await withStore(io, (store) => restorePrevious(store, seedId, blobId, { force }));
  if (result.kind === 'seed-gone') throw unknownSeed(seedId);
  reportRestored(
    result,
    io.output(json),
    () => new TaskError('NotFound', `Seed ${seedId} has no previous blob ${JSON.stringify(blobId)}`),
  );
}
