import type { Command } from 'commander';
import { TaskError } from '../../errors.js';
import type { LostBlob, Rekeyed } from '../../store/rekey.js';
import type { CliIo } from '../io.js';
import { withStore } from '../with-store.js';

/** `codex-task seeds rekey` */
export function addSeedRekey(seeds: Command, io: CliIo): void {
  seeds
    .command('rekey')
    .description(
      'write every credential again with the first key of CODEX_TASK_SEED_KEY, or plain without one; safe to run while tasks run, and to repeat',
    )
    .option('--drop-lost', 'delete previous credentials whose key is missing here; never a current one')
    .option('--json', 'one JSON line on stdout')
    .action((flags: { dropLost?: true; json?: true }) => rekey(flags, io));
}

async function rekey(
  { dropLost = false, json }: { dropLost?: boolean; json?: true },
  io: CliIo,
): Promise<void> {
  const output = io.output(json);
  const signal = io.untilSignal();
  const { rekeyAll } = await import('../../store/rekey.js');
  const counts = { rewritten: 0, unchanged: 0, gone: 0 };
  const lost: (LostBlob & { seedId: string })[] = [];
  const failed: Extract<Rekeyed, { outcome: 'failed' }>[] = [];
  const key = await withStore(io, async (store) => {
    for await (const each of rekeyAll(store, { dropLost })) {
      if (each.outcome === 'failed') failed.push(each);
      else {
        counts[each.outcome] += 1;
        for (const blob of each.lost ?? []) lost.push({ seedId: each.id, ...blob });
      }
      signal.throwIfAborted();
    }
    return store.seedKeys.writes?.id ?? null;
  });
  const how = key === null ? 'plain' : `with the key ${key}`;
  output.result(
    { key, ...counts, failed, ...(lost.length > 0 && { lost }) },
    [
      `${output.paint.green(`${counts.rewritten} written`)} ${how}, ${counts.unchanged} already were`,
      ...lost.map(
        ({ seedId, blobId, reason, dropped }) =>
          `  ${output.paint.yellow(dropped ? 'dropped' : 'left')} previous ${blobId} of seed ${seedId}: ${reason}`,
      ),
      ...failed.map(({ kind, id, reason }) => `  ${output.paint.red('failed')} ${kind} ${id}: ${reason}`),
    ].join('\n'),
  );
  const left = failed.length + lost.filter(({ dropped }) => !dropped).length;
  if (left === 0) return;
  throw new TaskError(
    'HostUnfit',
    `${left} of the credentials could not be written again${lost.length > 0 && !dropLost ? '; --drop-lost deletes previous ones whose key is lost' : ''}`,
  );
}
