import { Notifier } from '../../async/notifier.js';
import type { TaskHandle } from '../../client/index.js';
import { TaskError } from '../../errors.js';
import { objectOf } from '../../view/fields.js';
import type { Output } from '../output.js';
import { createTranscript } from '../transcript.js';

export interface FollowedTask {
  /** Resolves with the agent's last message of the nth turn, once that turn has ended. Rejects when none comes any more. */
  turn(n: number): Promise<string>;
  /** How many events were marked as those of an earlier task. */
  readonly recalled: () => number;
  /** Resolves at the end of the events. */
  readonly ended: Promise<void>;
}

/** Prints a task's events from the first to the last, over as many hosts as it takes. */
export function followDemoTask(task: TaskHandle, output: Output, signal: AbortSignal): FollowedTask {
  const transcript = createTranscript(task.taskId, output.paint);
  const answers: string[] = [];
  let said = '';
  let recalled = 0;
  const changes = new Notifier();
  let isOver = false;

  async function follow(): Promise<void> {
    for await (const event of task.events({ signal })) {
      if (output.json) output.result({ taskId: task.taskId, id: event.id, event: event.event }, '');
      if (objectOf(event.event)['x-optio-history'] === true) {
        recalled += 1;
        continue;
      }
      output.text(transcript(event));
      if (event.name === 'item/completed') {
        const { item } = event.event.params;
        if (item.type === 'agentMessage') said = item.text;
      }
      if (event.name !== 'turn/completed') continue;
      answers.push(said);
      changes.notifyAll();
    }
    signal.throwIfAborted();
  }
  const ended = follow().finally(() => {
    isOver = true;
    changes.notifyAll();
  });
  // Waits for a turn report this failure.
  ended.catch(() => undefined);

  return {
    ended,
    recalled: () => recalled,
    async turn(n) {
      while (answers.length < n) {
        if (isOver) {
          await ended;
          throw new TaskError('CodexFailed', `Task ${task.taskId} ended after ${answers.length} turns`);
        }
        await changes.wait();
      }
      return answers[n - 1] ?? '';
    },
  };
}
