import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { TaskHandle, TaskMessage } from '../client/index.js';
import type { OutputSchema } from '../contract/index.js';
import { reasonOf, TaskError } from '../errors.js';
import { readAll, type CliIo } from './io.js';
import { withTasks } from './with-tasks.js';
import { checkTaskId } from '../input/task-id.js';

interface SendFlags {
  messageId?: string;
  steer?: true;
  image?: string[];
  outputSchema?: string;
  json?: true;
}

/** `codex-task send | interrupt | close ID` */
export function addMessages(program: Command, io: CliIo): void {
  program
    .command('send')
    .description('send a message to a task')
    .argument('<task-id>', '', checkTaskId)
    .argument('<text>', '- for stdin')
    .option('--steer', 'join the running turn instead of waiting for its end')
    .option('--image <path>', "an image below the task's work folder (repeatable)", collect)
    .option('--output-schema <file>', 'JSON Schema of the answer to it (- for stdin)')
    .option('--message-id <id>', 'a message sent again with the same id arrives once')
    .option('--json', 'one JSON line on stdout')
    .action((taskId: string, text: string, flags: SendFlags) => send(taskId, text, flags, io));

  addSignal(program, io, 'interrupt', "interrupt a task's turn", (task) => task.interrupt());
  addSignal(program, io, 'close', 'end a task; a running turn is interrupted', (task) => task.close());
}

async function send(taskId: string, text: string, flags: SendFlags, io: CliIo): Promise<void> {
  const output = io.output(flags.json);
  const { messageId, steer, image, outputSchema } = flags;
  const whole = text === '-' ? await readAll(io.stdin) : text;
  const options: Partial<TaskMessage> = {
    ...(messageId !== undefined && { messageId }),
    ...(steer && { steer }),
    ...(image && { images: image.map((path) => ({ path })) }),
    ...(outputSchema !== undefined && { outputSchema: await readSchema(outputSchema, io) }),
  };
  const sent = await withTasks(io, (tasks) => tasks.handle(taskId).sendMessage(whole, options));
  output.result({ ok: true, ...sent }, `${output.paint.green('sent')} ${sent.messageId}`);
}

/** What the file holds, which is checked with the message. */
async function readSchema(file: string, io: CliIo): Promise<OutputSchema> {
  try {
    return JSON.parse(file === '-' ? await readAll(io.stdin) : await readFile(file, 'utf8')) as OutputSchema;
  } catch (error) {
    throw new TaskError('BadInput', `The schema cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function addSignal(
  program: Command,
  io: CliIo,
  name: 'interrupt' | 'close',
  description: string,
  signal: (task: TaskHandle) => Promise<void>,
): void {
  program
    .command(name)
    .description(description)
    .argument('<task-id>', '', checkTaskId)
    .option('--json', 'one JSON line on stdout')
    .action(async (taskId: string, { json }: { json?: true }) => {
      const output = io.output(json);
      await withTasks(io, (tasks) => signal(tasks.handle(taskId)));
      output.result({ ok: true, taskId }, `${output.paint.green(`${name} sent`)} to ${taskId}`);
    });
}

const collect = (value: string, list: string[] = []) => [...list, value];
