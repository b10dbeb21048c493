import type { ActivateInput, WorkflowInterceptors } from '@temporalio/workflow';
import { ASK_AGAIN, BEGINS_AGAIN } from '../errors.js';
import { refuseUnread } from './readable.js';
import { commandCounter, eventsOfJobs, EVENTS_OF_TASK } from './workflow-task-events.js';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;

/** A workflow task, or what came as one. */
interface Moment {
  /** When it started, and how long the history was; empty: the server does not tell. */
  readonly task: string;
  /** Events up to here are taken in. */
  readonly historyLength: number;
  readonly isReplay: boolean;
  /** It was given to this worker to be answered, as far as can be known. */
  readonly isOurs: boolean;
  readonly count: ReturnType<ReturnType<typeof commandCounter>>;
  /** Whether a query came next, which may have come together with this. */
  isAsked: boolean;
}

/** Core's id of a query that is a task of its own. */
const LONE_QUERY = 'legacy_query';

/**
 * Keeps a query from moving the workflow on. One that comes to a worker without the workflow in its cache comes with
 * the whole history, and the SDK (1.24.0) plays that to its end, with events that no workflow task of this worker has
 * taken in yet. What the workflow does about those goes out with the next task, beside what that task's own events
 * lead to. A replay sees both in one piece, does other things, and the workflow is stuck for good. So the query fails
 * instead, with `ASK_AGAIN`, and the workflow leaves the cache: its next task begins with the history as it is.
 * - The events have no workflow task yet: they come with that of the events before them.
 * - Their task may be that of another worker, which may never answer it. A query fails where this cannot be told from
 *   a task of this worker: in the first task after the history was played, and after one before which the history grew
 *   by events that the task before does not explain.
 * What is left is a worker that has the workflow in its cache while another one takes its next task and a query comes
 * here. The task after that one fails, once, unless the history grew by exactly what this worker would have written.
 */
export const interceptors = (): WorkflowInterceptors => {
  const newCount = commandCounter();
  let last: Moment | null = null;
  let abandoned = 0;
  /** How the history grew, compared with what the task before leads to once it is answered. */
  const growthSince = (before: Moment, historyLength: number, jobs: Jobs) => {
    const { fewest, most, commands, abandoned: more } = before.count([]);
    const ofJobs = eventsOfJobs(jobs);
    const grown = historyLength - before.historyLength - EVENTS_OF_TASK;
    const surplus = grown - most - ofJobs.most;
    const isShort = grown < fewest + ofJobs.fewest;
    const isExplained = surplus <= 0 && !isShort;
    const isExact = isExplained && fewest + ofJobs.fewest === most + ofJobs.most && abandoned === 0;
    // Each has a start and an end.
    abandoned = Math.max(abandoned + more - Math.floor(Math.max(surplus, 0) / 2), 0);
    return { isExplained, mayLack: isShort || (commands > 0 && !isExact) };
  };
  return {
    internals: [
      {
        activate(input, next) {
          const { timestamp, historySizeBytes, historyLength: length, isReplaying } = input.activation;
          const jobs = input.activation.jobs ?? [];
          if (jobs.every(({ queryWorkflow }) => queryWorkflow)) {
            if (last && jobs.some(({ queryWorkflow }) => queryWorkflow?.queryId === LONE_QUERY)) {
              if (!last.isReplay && !last.isOurs) throw new Error(ASK_AGAIN);
              last.isAsked = true;
            }
            return next(input);
          }
          const size = String(historySizeBytes ?? 0);
          const task = size === '0' ? '' : `${String(timestamp?.seconds)}.${timestamp?.nanos} ${size}`;
          const historyLength = length ?? 0;
          // The same task may come in pieces, but no event comes between those.
          if (last && task === last.task && historyLength === last.historyLength) return next(input);
          if (last && task !== '' && task === last.task) throw new Error(ASK_AGAIN);
          const growth = last && growthSince(last, historyLength, jobs);
          if (growth?.mayLack && last?.isAsked && !last.isReplay) throw new Error(BEGINS_AGAIN);
          // No query comes before a run's first task is answered; a quiet history was played for a query.
          const isOurs = last
            ? growth!.isExplained && (!last.isReplay || last.isAsked)
            : jobs.some(({ initializeWorkflow }) => initializeWorkflow);
          const isReplay = isReplaying ?? false;
          last = { task, historyLength, isReplay, isOurs, count: newCount(), isAsked: false };
          next(input);
        },
        concludeActivation(input, next) {
          refuseUnread();
          const output = next(input);
          last?.count(output.commands);
          return output;
        },
      },
    ],
  };
};
