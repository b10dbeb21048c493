import type { Command } from 'commander';
import { TaskError } from '../../errors.js';
import type { Rekeyed } from '../../store/rekey.js';
import type { CliIo } from '../io.js';
import { withStore } from '../with-store.js';

/** `codex-task seeds rekey` */
export function addSeedRekey(seeds: Command, io: CliIo): void {
  seeds
    .command('rekey')
    .description(
      'write every credential again with the first key of CODEX_TASK_SEED_KEY, or plain without one; may run beside tasks and be repeated',
    )
    .option('--json', 'one JSON line on stdout')
    .action((flags: { json?: true }) => rekey(flags, io));
}

async function rekey({ json }: { json?: true }, io: CliIo): Promise<void> {
  const output = io.output(json);
  const signal = io.untilSignal();
  const { rekeyAll } = await import('../../store/rekey.js');
  const counts = { rewritten: 0, unchanged: 0, gone: 0 };
  const failed: Extract<Rekeyed, { outcome: 'failed' }>[] = [];
  const key = await withStore(io, async (store) => {
    for await (const each of rekeyAll(store)) {
      if (each.outcome === 'failed') failed.push(each);
      else counts[each.outcome] += 1;
      signal.throwIfAborted();
    }
    return store.seedKeys.writes?.id ?? null;
  });
  const how = key === null ? 'plain' : `with the key ${key}`;
  output.result(
    { key, ...counts, failed },
    [
      `${output.paint.green(`${counts.rewritten} written`)} ${how}, ${counts.unchanged} were so already`,
      ...failed.map(({ kind, id, reason }) => `  ${output.paint.red('failed')} ${kind} ${id}: ${reason}`),
    ].join('\n'),
  );
  if (failed.length === 0) return;
  throw new TaskError('HostUnfit', `${failed.length} of the credentials could not be written again`);
}
