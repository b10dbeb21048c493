import type { Command } from 'commander';
import type { CliIo } from './io.js';

interface DemoFlags {
  keep?: boolean;
  resume?: boolean;
  json?: true;
}

/** `codex-task demo` */
export function addDemo(program: Command, io: CliIo): void {
  program
    .command('demo')
    .description('see a whole task run here: a stack of its own, codex, a permission request, the result')
    .option('--resume', 'show resuming: lose worker and host, continue on another, resume in a new task')
    .option('--keep', 'leave everything running until Ctrl-C')
    .option('--json', 'the steps as JSON lines on stdout')
    .action(async ({ keep = false, resume = false, json }: DemoFlags) => {
      const signal = io.untilSignal();
      const { runDemo } = await import('./demo/run-demo.js');
      await runDemo({ keep, resume }, io.env, { output: io.output(json), signal });
    });
}
