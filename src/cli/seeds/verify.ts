import type { Command } from 'commander';
import type { VerifyTarget } from '../../client/verify-seeds.js';
import { TaskError } from '../../errors.js';
import type { SeedVerdict, VerifyPoolResult } from '../../contract/verification.js';
import type { CliIo } from '../io.js';
import { printable, type Output, type Paint } from '../output.js';

interface VerifyFlags {
  pool?: string;
  seed?: string;
  all?: true;
  schedule?: string;
  unschedule?: true;
  json?: true;
}

const DEFAULT_POOL = 'default';
const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const MIN_EVERY_MS = 60_000;

/** `codex-task seeds verify` */
export function addSeedVerify(seeds: Command, io: CliIo): void {
  seeds
    .command('verify')
    .description('find out which seeds still work and refresh the stale ones, on a worker; now or regularly')
    .option('--pool <pool>', `the idle seeds of this pool (default: ${DEFAULT_POOL})`)
    .option('--seed <id>', 'this seed, fresh or not, dead or not')
    .option('--all', 'check fresh seeds of the pool too, without a refresh')
    .option('--schedule <every=…>', 'on a schedule instead of now: every=6h (s, m, h, d; at least 1m)')
    .option('--unschedule', 'end the schedule')
    .option('--json', 'a JSON line for each seed, or for the schedule')
    .action((flags: VerifyFlags) => verify(flags, io));
}

async function verify(flags: VerifyFlags, io: CliIo): Promise<void> {
  const output = io.output(flags.json);
  const everyMs = flags.schedule === undefined ? null : parseEvery(flags.schedule);
  requireOne(flags, 'pool', 'seed');
  requireOne(flags, 'schedule', 'unschedule');
  const [{ connectTemporal }, verifying, { readConfig }] = await Promise.all([
    import('../../client/index.js'),
    import('../../client/verify-seeds.js'),
    import('../../config.js'),
  ]);
  const { taskQueue } = readConfig(io.env);
  const isScheduled = everyMs !== null || flags.unschedule === true;
  const target: VerifyTarget = flags.seed
    ? { seedId: flags.seed }
    : verifying.poolTarget(flags.pool ?? DEFAULT_POOL, flags.all === true, isScheduled);
  const link = await connectTemporal(io.env);
  const options = { client: link.client, taskQueue };
  try {
    if (flags.unschedule) {
      const ended = await verifying.unscheduleVerification(options, target);
      return output.result(ended, `${output.paint.green('unscheduled')} ${ended.scheduleId}`);
    }
    if (everyMs !== null) {
      const schedule = await verifying.scheduleVerification(options, target, everyMs);
      const next = schedule.nextAt ? `, next at ${schedule.nextAt}` : '';
      return output.result(schedule, `${output.paint.green('scheduled')} ${schedule.scheduleId}${next}`);
    }
    const found = await verifying.verifyNow(options, target, io.untilSignal());
    if ('pool' in found) showPool(found, output);
    else output.result(found, lineOf(found, output.paint));
  } finally {
    await link.close();
  }
}

function showPool({ pool, seeds, skipped, left }: VerifyPoolResult, output: Output): void {
  for (const seed of seeds) output.result(seed, lineOf(seed, output.paint));
  const { fresh, dead, inUse } = skipped;
  const parts = [`${seeds.length} verified`, `${fresh} fresh`, `${inUse} in use`, `${dead} dead`];
  output.note(
    `Pool ${pool}: ${[...parts, ...(left > 0 ? [`${left} left for the next run`] : [])].join(', ')}.`,
  );
}

function lineOf({ seedId, verdict, reason, account }: SeedVerdict, paint: Paint): string {
  const colour = { alive: paint.green, dead: paint.red, inconclusive: paint.yellow }[verdict];
  const rest = printable(`${reason}${account ? `  ${account}` : ''}`);
  return `${printable(seedId)}  ${colour(verdict.padEnd(12))} ${rest}`;
}

function requireOne(flags: VerifyFlags, one: keyof VerifyFlags, other: keyof VerifyFlags): void {
  if (flags[one] !== undefined && flags[other] !== undefined)
    throw new TaskError('BadInput', `--${one} and --${other} exclude each other`);
}

/** Milliseconds of `every=6h`. */
function parseEvery(text: string): number {
  const match = /^(?:every=)?(\d{1,6})([smhd])$/.exec(text);
  const everyMs = match ? Number(match[1]) * UNITS[match[2] as keyof typeof UNITS] : 0;
  if (everyMs >= MIN_EVERY_MS) return everyMs;
  throw new TaskError(
    'BadInput',
    `--schedule: expected every=<number><s|m|h|d> of at least 1m, got ${JSON.stringify(text)}`,
  );
}
