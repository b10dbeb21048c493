import type { Command } from 'commander';
import type { CliIo } from './io.js';
import { wholeNumber } from './start.js';
import { createTranscript } from './transcript.js';
import { withTasks } from './with-tasks.js';
import { checkTaskId } from '../input/task-id.js';

interface FollowFlags {
  from?: number;
  json?: true;
}

/** `codex-task follow ID` */
export function addFollow(program: Command, io: CliIo): void {
  program
    .command('follow')
    .description('show the events of a task until it ends, across restarts')
    .argument('<task-id>', '', checkTaskId)
    .option('--from <n>', 'begin at this event (default: the first)', wholeNumber)
    .option('--json', 'each event as a JSON line {id, event}')
    .action((taskId: string, flags: FollowFlags) => follow(taskId, flags, io));
}

async function follow(taskId: string, { from = 1, json }: FollowFlags, io: CliIo): Promise<void> {
  const output = io.output(json);
  const signal = io.untilSignal();
  const transcript = createTranscript(taskId, output.paint);
  let told = '';
  await withTasks(io, async (tasks) => {
    const events = tasks.handle(taskId).events({
      lastEventId: Math.max(0, from - 1),
      signal,
      onRetry(reason) {
        if (reason !== told) output.note(`${(told = reason)}; trying again …`);
      },
    });
    for await (const event of events) {
      told = '';
      const text = output.json
        ? `${JSON.stringify({ id: event.id, event: event.event })}\n`
        : transcript(event);
      await output.flow(text, signal);
    }
  });
  signal.throwIfAborted();
}
