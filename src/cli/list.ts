import type { Command } from 'commander';
import type { TaskSummary } from '../client/index.js';
import type { CliIo } from './io.js';
import type { Paint } from './output.js';
import { withTasks } from './with-tasks.js';

interface ListFlags {
  all?: boolean;
  json?: true;
}

/** `codex-task ls` */
export function addList(program: Command, io: CliIo): void {
  program
    .command('ls')
    .description('list running tasks')
    .option('-a, --all', 'include ended tasks')
    .option('--json', 'a JSON line for each task')
    .action((flags: ListFlags) => list(flags, io));
}

async function list({ all = false, json }: ListFlags, io: CliIo): Promise<void> {
  const output = io.output(json);
  let count = 0;
  await withTasks(io, async (tasks) => {
    for await (const task of tasks.list({ all })) {
      count += 1;
      output.result(task, lineOf(task, output.paint));
    }
  });
  if (count === 0 && !output.json) output.note(all ? 'No tasks.' : 'No running tasks.');
}

function lineOf({ taskId, state, status, startedAt }: TaskSummary, paint: Paint): string {
  const word = status === 'RUNNING' ? (state ?? 'running') : status.toLowerCase();
  return `${taskId.padEnd(28)} ${word.padEnd(24)} ${paint.dim(startedAt)}`;
}
