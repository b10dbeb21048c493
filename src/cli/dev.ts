import type { Command } from 'commander';
import type { CliIo } from './io.js';

interface DevFlags {
  json?: boolean;
  /** False by `--no-worker`. */
  worker: boolean;
  ephemeral?: boolean;
}

/** `codex-task dev` */
export function addDev(program: Command, io: CliIo): void {
  program
    .command('dev')
    .description('run Temporal, MongoDB and a worker in the foreground until Ctrl-C')
    .option('--no-worker', 'start no worker; run codex-task worker yourself')
    .option('--ephemeral', 'free ports and a fresh folder, removed at the end')
    .option('--json', 'one JSON line on stdout when all is ready')
    .action(async ({ json = false, worker, ephemeral = false }: DevFlags) => {
      const signal = io.untilSignal();
      const { runDev } = await import('../dev/dev.js');
      const { stdout, stderr } = process;
      await runDev({ json, worker, ephemeral }, io.env, { stdout, stderr, signal });
    });
}
