import type { Command } from 'commander';
import type { SeedInfo } from '../../store/seed-info.js';
import type { CliIo } from '../io.js';
import type { Paint } from '../output.js';
import { row } from '../result-text.js';
import { withStore } from '../with-store.js';
import { seedStateOf, seedUsageText } from './list.js';
import { unknownSeed } from './refusals.js';

/** `codex-task seeds show ID` */
export function addSeedShow(seeds: Command, io: CliIo): void {
  seeds
    .command('show')
    .description('show a seed without its credential')
    .argument('<seed-id>')
    .option('--json', 'one JSON line on stdout')
    .action((seedId: string, flags: { json?: true }) => show(seedId, flags, io));
}

async function show(seedId: string, { json }: { json?: true }, io: CliIo): Promise<void> {
  const output = io.output(json);
  const [{ findSeedInfo }, { listQuarantine }] = await Promise.all([
    import('../../store/seed-info.js'),
    import('../../store/quarantine.js'),
  ]);
  const [seed, aside] = await withStore(io, (store) =>
    Promise.all([findSeedInfo(store, seedId), listQuarantine(store, seedId)]),
  );
  if (!seed) throw unknownSeed(seedId);
  output.result({ ...seed, quarantined: aside.length }, pageOf(seed, aside.length, output.paint));
}

function pageOf(seed: SeedInfo, quarantined: number, paint: Paint): string {
  const time = (date: Date | null) => date?.toISOString() ?? 'never';
  return [
    `${paint.bold(seedStateOf(seed))} ${seed.seedId}`,
    row('pool', seed.pool ?? 'none', paint),
    row('added', time(seed.createdAt), paint),
    row('leased', time(seed.lastLeasedAt), paint),
    row('refreshed', time(seed.lastRefreshedAt), paint),
    row('verified', time(seed.lastVerifiedAt), paint),
    ...(seed.usage ? [row('account', seedUsageText(seed.usage), paint)] : []),
    row('previous', `${seed.previousBlobs.length}`, paint),
    row('in quarantine', `${quarantined}`, paint),
    ...Object.entries(seed.metadata).map(([key, value]) =>
      row(key, typeof value === 'string' ? value : JSON.stringify(value), paint),
    ),
  ].join('\n');
}
