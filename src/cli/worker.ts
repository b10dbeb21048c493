import type { Command } from 'commander';
import type { CliIo } from './io.js';

/** `codex-task worker` */
export function addWorker(program: Command, io: CliIo): void {
  program
    .command('worker')
    .description('run tasks on this host until SIGTERM; settings come from the environment')
    .option('--json', 'one JSON line on stdout when ready')
    .action(async ({ json }: { json?: true }) => {
      const output = io.output(json);
      const [{ readConfig }, { createLog }] = await Promise.all([
        import('../config.js'),
        import('../log.js'),
      ]);
      const config = readConfig(io.env);
      const log = createLog(config.logLevel);
      const signal = io.untilSignal();
      // Temporal's native core takes its time to load; other commands start without it.
      const { installRuntime, runWorker } = await import('../worker.js');
      const endRuntime = installRuntime(log);
      try {
        await runWorker(config, io.env, {
          signal,
          log,
          ready: (line) =>
            output.result(
              line,
              `${output.paint.green('ready')} host ${line.hostId}, listener ${line.listenerUrl}, process ${line.workerPid}`,
            ),
        });
      } finally {
        // Not awaited: with a worker that never ran it would not come to an end.
        endRuntime().catch(() => undefined);
      }
    });
}
