import { Command, CommanderError } from 'commander';
import { TaskError } from '../errors.js';
import { VERSION } from '../version.js';
import { addDecisions } from './decide.js';
import { addDemo } from './demo.js';
import { addDev } from './dev.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { addFollow } from './follow.js';
import { processIo, type CliIo } from './io.js';
import { addList } from './list.js';
import { addMessages } from './messages.js';
import { addPurge } from './purge.js';
import { addSeeds } from './seeds.js';
import { addShow } from './show.js';
import { addSnapshots } from './snapshots.js';
import { addStart } from './start.js';
import { addWorker } from './worker.js';

const GROUPS = [
  addDev,
  addWorker,
  addDemo,
  addStart,
  addList,
  addShow,
  addFollow,
  addMessages,
  addDecisions,
  addSeeds,
  addSnapshots,
  addPurge,
];

/** Runs one command line and gives the exit code. */
export async function run(args: readonly string[], io: CliIo = processIo()): Promise<number> {
  // Before parsing nobody knows whether `--json` is an option or another one's value; for an error that will do.
  const output = io.output(args.includes('--json'));
  try {
    await createProgram(io).parseAsync(args, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    const reported = error instanceof CommanderError ? usageError(error) : error;
    output.error(reported);
    return exitCodeOf(reported);
  }
}

/** The whole command line, its help included. */
export function createProgram(io: CliIo): Command {
  const program = new Command('codex-task')
    .description('Durable OpenAI Codex tasks on Temporal')
    .version(VERSION)
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .addHelpText('after', `\nExit codes: ${exitCodes()}.`);
  for (const add of GROUPS) add(program, io);
  return program;
}

/** Commander writes `error: …`, and its suggestion on a second line. */
function usageError({ message }: CommanderError): TaskError {
  return new TaskError(
    'BadInput',
    `${message.replace(/^error: /, '').replace(/\n/g, ' ')}; see codex-task --help`,
  );
}

const exitCodes = (): string =>
  [
    `${EXIT.ok} ok`,
    `${EXIT.failed} the task or the command failed`,
    `${EXIT.usage} wrong usage, input or settings`,
    `${EXIT.notFound} no such task, request or snapshot`,
    `${EXIT.unavailable} Temporal, MongoDB or a listener is out of reach`,
    `${EXIT.superseded} another worker runs this worker's host`,
    `${EXIT.interrupted} interrupted`,
  ].join(', ');
