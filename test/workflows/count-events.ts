import type { ActivateInput, WorkflowInterceptors } from '@temporalio/workflow';
import { commandCounter, eventsOfJobs, EVENTS_OF_TASK } from '../../src/workflows/workflow-task-events.js';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;

/** Fails the replay of a history that grew otherwise than the workflow's commands and the next task's jobs explain. */
export const interceptors = (): WorkflowInterceptors => {
  const newCount = commandCounter();
  let last: { historyLength: number; count: ReturnType<typeof newCount> } | null = null;
  let abandoned = 0;
  const compare = (before: NonNullable<typeof last>, historyLength: number, jobs: Jobs) => {
    const written = before.count([]);
    abandoned += written.abandoned;
    const ofJobs = eventsOfJobs(jobs);
    const fewest = written.fewest + ofJobs.fewest;
    const most = written.most + ofJobs.most + 2 * abandoned;
    const grown = historyLength - before.historyLength - EVENTS_OF_TASK;
    // A replay leaves out tasks that led to no command: `EVENTS_OF_TASK` for each.
    const isExplained = Array.from({ length: most - fewest + 1 }, (_, n) => grown - fewest - n).some(
      (left) => left >= 0 && left % EVENTS_OF_TASK === 0,
    );
    if (!isExplained)
      throw new Error(`Grown by ${grown} up to ${historyLength}, expected ${fewest} to ${most};`);
  };
  return {
    internals: [
      {
        activate(input, next) {
          const { historyLength, jobs } = input.activation;
          if (historyLength !== last?.historyLength) {
            if (last) compare(last, historyLength!, jobs!);
            last = { historyLength: historyLength!, count: newCount() };
          }
          next(input);
        },
        concludeActivation(input, next) {
          const output = next(input);
          last?.count(output.commands);
          return output;
        },
      },
    ],
  };
};
