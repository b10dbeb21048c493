import type { Command } from 'commander';
import type { QuarantineRecord } from '../../store/quarantine.js';
import type { CliIo } from '../io.js';
import { printable, type Paint } from '../output.js';
import { row } from '../result-text.js';
import { withStore } from '../with-store.js';
import { unknownRecord } from './refusals.js';
import { reportRestored } from './restored.js';

interface Flags {
  json?: true;
}

type RestoreFlags = Flags & { force?: true; pool?: string };

/** `codex-task seeds quarantine list | show | restore | delete` */
export function addSeedQuarantine(seeds: Command, io: CliIo): void {
  const quarantine = seeds
    .command('quarantine')
    .description('credentials that could not be saved to their seeds');

  quarantine
    .command('list')
    .alias('ls')
    .description('list them, newest first')
    .option('--seed <seed-id>', 'only those of this seed')
    .option('--json', 'a JSON line for each')
    .action((flags: Flags & { seed?: string }) => list(flags, io));

  quarantine
    .command('show')
    .description('show a record without its credential')
    .argument('<quarantine-id>')
    .option('--json', 'one JSON line on stdout')
    .action((quarantineId: string, flags: Flags) => show(quarantineId, flags, io));

  quarantine
    .command('restore')
    .description('restore one to its seed; the replaced credential stays among the previous ones')
    .argument('<quarantine-id>')
    .option('--force', 'even when the seed holds a newer credential')
    .option('--pool <pool>', 'make a new seed in this pool when its own is gone')
    .option('--json', 'one JSON line on stdout')
    .action((quarantineId: string, flags: RestoreFlags) => restore(quarantineId, flags, io));

  quarantine
    .command('delete')
    .description('delete one permanently')
    .argument('<quarantine-id>')
    .option('--json', 'one JSON line on stdout')
    .action((quarantineId: string, flags: Flags) => remove(quarantineId, flags, io));
}

async function list({ seed, json }: Flags & { seed?: string }, io: CliIo): Promise<void> {
  const output = io.output(json);
  const { listQuarantine } = await import('../../store/quarantine.js');
  const records = await withStore(io, (store) => listQuarantine(store, seed));
  for (const record of records) output.result(record, lineOf(record, output.paint));
  if (records.length === 0 && !output.json) output.note('Nothing is in quarantine.');
}

function lineOf({ quarantineId, seedId, at, reason }: QuarantineRecord, paint: Paint): string {
  return printable(`${quarantineId}  seed ${seedId}  ${reason}  `) + paint.dim(at.toISOString());
}

async function show(quarantineId: string, { json }: Flags, io: CliIo): Promise<void> {
  const output = io.output(json);
  const { findQuarantined } = await import('../../store/quarantine.js');
  const record = await withStore(io, (store) => findQuarantined(store, quarantineId));
  if (!record) throw unknownRecord(quarantineId);
  const { paint } = output;
  const page = [
    `${paint.bold(record.quarantineId)}`,
    row('seed', record.seedId, paint),
    row('task', record.taskId, paint),
    row('holder', `${record.holder}, epoch ${record.leaseEpoch}`, paint),
    row('why', record.reason, paint),
    row('since', record.at.toISOString(), paint),
  ];
  output.result(record, page.join('\n'));
}

async function restore(quarantineId: string, flags: RestoreFlags, io: CliIo): Promise<void> {
  const { force = false, pool, json } = flags;
  const { restoreQuarantined } = await import('../../store/restore.js');
  const options = { force, ...(pool !== undefined && { pool }) };
  const result = await withStore(io, (store) => restoreQuarantined(store, quarantineId, options));
  reportRestored(result, io.output(json), () => unknownRecord(quarantineId));
}

async function remove(quarantineId: string, { json }: Flags, io: CliIo): Promise<void> {
  const output = io.output(json);
  const { dismissQuarantined } = await import('../../store/settle-quarantine.js');
  if (!(await withStore(io, (store) => dismissQuarantined(store, quarantineId))))
    throw unknownRecord(quarantineId);
  output.result({ quarantineId }, `${output.paint.green('deleted')} ${quarantineId}`);
}
