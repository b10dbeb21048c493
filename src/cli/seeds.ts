import type { Command } from 'commander';
import type { CliIo } from './io.js';
import { addSeedList } from './seeds/list.js';

/** What `codex-task seeds` can do: each adds its subcommands to the group. */
const SEED_COMMANDS: readonly ((seeds: Command, io: CliIo) => void)[] = [addSeedList];

/** `codex-task seeds …` */
export function addSeeds(program: Command, io: CliIo): void {
  const seeds = program.command('seeds').description('stored credentials: add, list, restore, …');
  for (const add of SEED_COMMANDS) add(seeds, io);
}
