import type { Command } from 'commander';
import type { SeedInfo } from '../../store/seed-info.js';
import type { CliIo } from '../io.js';
import { printable, type Paint } from '../output.js';
import { withStore } from '../with-store.js';

interface ListFlags {
  pool?: string;
  json?: true;
}

/** `codex-task seeds list` */
export function addSeedList(seeds: Command, io: CliIo): void {
  seeds
    .command('list')
    .alias('ls')
    .description('list seeds, oldest first')
    .option('--pool <pool>', 'only the seeds of this pool')
    .option('--json', 'a JSON line for each seed')
    .action((flags: ListFlags) => list(flags, io));
}

async function list({ pool, json }: ListFlags, io: CliIo): Promise<void> {
  const output = io.output(json);
  const { listSeeds } = await import('../../store/seed-info.js');
  const seeds = await withStore(io, (store) => listSeeds(store, pool));
  for (const seed of seeds) output.result(seed, lineOf(seed, output.paint));
  if (seeds.length === 0 && !output.json)
    output.note(pool === undefined ? 'No seeds.' : `No seeds in the pool ${pool}.`);
}

function lineOf(seed: SeedInfo, paint: Paint): string {
  const { seedId, pool, lastRefreshedAt, usage } = seed;
  const refreshed = lastRefreshedAt ? `refreshed ${lastRefreshedAt.toISOString()}` : 'never refreshed';
  return (
    printable(`${seedId}  ${(pool ?? '-').padEnd(16)}  ${seedStateOf(seed).padEnd(40)}  `) +
    paint.dim(printable(usage ? `${refreshed}; ${seedUsageText(usage)}` : refreshed))
  );
}

/** What was read of an account, and when. */
export const seedUsageText = ({ summary, lifetimeTokens, readAt }: NonNullable<SeedInfo['usage']>): string =>
  `${summary}${lifetimeTokens === null ? '' : `, ${lifetimeTokens} tokens in all`}, read ${readAt.toISOString()}`;

/** A seed's state for people, with what ends it. */
export function seedStateOf({ state, holder, leasedUntil, limitedUntil, limit, why }: SeedInfo): string {
  if (state === 'leased') return `leased to ${holder} until ${leasedUntil?.toISOString()}`;
  if (state === 'limited') {
    const which = limit && limit.kind !== 'reset' ? ` (${limit.kind}, ${limit.times} in a row)` : '';
    return `limited until ${limitedUntil?.toISOString()}${which}`;
  }
  return why === undefined ? state : `${state}: ${why}`;
}
