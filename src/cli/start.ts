import { randomBytes } from 'node:crypto';
import { taskWord } from './shell-word.js';
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError, type Command } from 'commander';
import type { CodexTaskInput } from '../contract/index.js';
import { reasonOf, TaskError } from '../errors.js';
import { readAll, type CliIo } from './io.js';
import { printResult } from './result-text.js';
import { inputOf, type StartFlags } from './start-input.js';
import { localFileOf, uploadFiles, withFiles, type LocalFile } from './upload-files.js';
import { abortable, onAbort } from '../async/abort.js';
import { withTasks } from './with-tasks.js';

interface StartOptions extends StartFlags {
  promptFile?: string;
  input?: string;
  file?: LocalFile[];
  outputSchema?: string;
  wait?: true;
  json?: true;
}

/** `codex-task start [TASK_ID]` */
export function addStart(program: Command, io: CliIo): void {
  const collect = (value: string, list: string[] = []) => [...list, value];
  const collectFiles = (value: string, list: LocalFile[] = []) => [...list, localFileOf(value)];
  program
    .command('start')
    .description('start a task')
    .argument('[task-id]', 'at most 1,000 bytes (default: a new one)')
    .argument('[-]', 'a lone - reads the first message from stdin')
    .option('-p, --prompt <text>', 'first message (- for stdin)')
    .option('--prompt-file <file>', 'first message from a file (- for stdin)')
    .option('--input <file>', 'the whole input as JSON (- for stdin); other options override it')
    .option('--mode <mode>', 'task or conversation')
    .option('--instructions <text>', 'instructions, written to AGENTS.md')
    .option('--model <model>')
    .option('--effort <effort>')
    .option('--pool <pool>', 'use a seed of this pool')
    .option('--seed <id>', 'use this seed')
    .option('--api-key-env <name>', "variable of the worker's environment that holds an API key")
    .option('--no-credential', 'run without an account')
    .option('--sandbox <mode>', 'read-only, workspace-write or danger-full-access')
    .option('--network', 'let sandboxed commands reach the network')
    .option('--grant <path:access>', 'another path for commands, ro or rw (repeatable)', collect)
    .option('--approval-policy <policy>', 'untrusted, on-request or never')
    .option('--approval-timeout <ms>', 'deny a request that nobody answers in time', wholeNumber)
    .option('--env <name=value>', "variable for codex's environment, never a secret (repeatable)", collect)
    .option('--pass-env <name>', "variable let through from the worker's environment (repeatable)", collect)
    .option('--file <local:path>', 'a file of this machine for the workdir (repeatable)', collectFiles)
    .option('--resume <key>', 'resume from the newest snapshot of this key')
    .option('--output-schema <file>', 'JSON Schema of the answer (- for stdin)')
    .option('--wait', 'wait for the end and print the result')
    .option('--json', 'JSON lines on stdout')
    .action((first: string | undefined, second: string | undefined, options: StartOptions) => {
      const dash = first === '-' ? first : second;
      if (dash !== undefined && dash !== '-') throw new TaskError('BadInput', `expected -, got ${dash}`);
      return start(first === '-' ? undefined : first, dash ? { ...options, prompt: dash } : options, io);
    });
}

async function start(taskId = generatedId(), options: StartOptions, io: CliIo): Promise<void> {
  const output = io.output(options.json);
  const input = await readInput(options, io);
  // Wrong input is told at once, whether or not a server can be reached.
  const { parseTaskInput } = await import('../input/parse-task-input.js');
  const files = options.file ?? [];
  parseTaskInput(withFiles(input, files), taskId);
  const blobIds = files.length > 0 ? await uploadFiles(io, taskId, files) : [];
  await withTasks(io, async (tasks) => {
    const task = await tasks.start(taskId, withFiles(input, files, blobIds));
    const { runId } = await task.describe();
    output.result({ taskId, runId }, `${output.paint.green('started')} ${taskId}`);
    if (!options.wait) {
      if (!output.json) output.note(`Follow it: codex-task follow ${taskWord(taskId)}`);
      return;
    }
    const signal = io.untilSignal();
    const release = onAbort(signal, () => output.note(`Task ${taskId} continues.`));
    const result = await abortable(task.result(), signal).finally(release);
    printResult(output, result);
  });
}

async function readInput(options: StartOptions, io: CliIo): Promise<CodexTaskInput> {
  const read = (file: string) => (file === '-' ? readAll(io.stdin) : readFile(file, 'utf8'));
  try {
    const json = async (file: string): Promise<unknown> => JSON.parse(await read(file));
    const base = options.input === undefined ? {} : await json(options.input);
    const prompt = options.prompt === '-' ? await read('-') : options.prompt;
    const text = options.promptFile === undefined ? prompt : await read(options.promptFile);
    const { outputSchema: file, ...flags } = options;
    const outputSchema = file === undefined ? undefined : await json(file);
    return inputOf(base, { ...flags, outputSchema, ...(text !== undefined && { prompt: text }) });
  } catch (error) {
    if (error instanceof TaskError) throw error;
    throw new TaskError('BadInput', `The input cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

export function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected a whole number');
}

const generatedId = () => `task-${randomBytes(4).toString('hex')}`;
