import { Option, type Command } from 'commander';
import { onAbort } from '../async/abort.js';
import { EXIT } from './exit-codes.js';
import type { CliIo } from './io.js';

/** A detached worker is gone 15 s after the signal, whatever a server it waits for does. */
const DETACHED_WITHIN_MS = 14_000;

/** `codex-task worker` */
export function addWorker(program: Command, io: CliIo): void {
  program
    .command('worker')
    .description('run tasks on this host until SIGTERM; settings come from the environment')
    .option('--json', 'one JSON line on stdout when ready')
    .addOption(
      new Option(
        '--drain <mode>',
        'what a stop does with running tasks (default: CODEX_TASK_DRAIN or detach)',
      ).choices(['detach', 'wait', 'move', 'stop']),
    )
    .action(async ({ json, drain }: { json?: true; drain?: string }) => {
      const output = io.output(json);
      const [{ readConfig }, { createLog }] = await Promise.all([
        import('../config.js'),
        import('../log.js'),
      ]);
      const config = readConfig({ ...io.env, ...(drain !== undefined && { CODEX_TASK_DRAIN: drain }) });
      const log = createLog(config.logLevel);
      const hurry = new AbortController();
      const signal = io.untilSignal(() => {
        const waits = config.drain === 'wait' || config.drain === 'move';
        hurry.abort();
        return waits;
      });
      if (config.drain === 'detach') endInTime(signal);
      // The worker's parts take their time to load; other commands start without them.
      const { runWorker } = await import('../worker.js');
      await runWorker(config, io.env, {
        signal,
        hurry: hurry.signal,
        log,
        ready: (line) =>
          output.result(
            line,
            `${output.paint.green('ready')} host ${line.hostId}, listener ${line.listenerUrl}, process ${line.workerPid}`,
          ),
      });
    });
}

function endInTime(signal: AbortSignal): void {
  onAbort(signal, () => void setTimeout(() => process.exit(EXIT.ok), DETACHED_WITHIN_MS).unref());
}
