import type { Command } from 'commander';
import type { CliIo } from './io.js';
import { addSeedChanges } from './seeds/change.js';
import { addSeedList } from './seeds/list.js';
import { addSeedLogin } from './seeds/login.js';
import { addSeedPrevious } from './seeds/previous.js';
import { addSeedQuarantine } from './seeds/quarantine.js';
import { addSeedRekey } from './seeds/rekey.js';
import { addSeedShow } from './seeds/show.js';
import { addSeedTransfer } from './seeds/transfer.js';
import { addSeedVerify } from './seeds/verify.js';

/** What `codex-task seeds` can do: each adds its subcommands to the group. */
const SEED_COMMANDS: readonly ((seeds: Command, io: CliIo) => void)[] = [
  addSeedTransfer,
  addSeedLogin,
  addSeedList,
  addSeedShow,
  addSeedChanges,
  addSeedVerify,
  addSeedPrevious,
  addSeedQuarantine,
  addSeedRekey,
];

/** `codex-task seeds …` */
export function addSeeds(program: Command, io: CliIo): void {
  const seeds = program.command('seeds').description('stored credentials: add, list, restore, …');
  for (const add of SEED_COMMANDS) add(seeds, io);
}
