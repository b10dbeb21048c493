import type { WorkflowInterceptors } from '@temporalio/workflow';
import { ASK_AGAIN } from '../errors.js';
import { refuseUnread } from './readable.js';
import { commandCounter, EVENTS_OF_ABANDONED, eventsOfJobs } from './workflow-task-events.js';

/** A workflow task, or what came as one. */
interface Moment {
  /** When it started, and how large the history was by then; empty: the server does not tell. */
  readonly task: string;
  /** Events up to here are taken in. */
  readonly historyLength: number;
  readonly isReplay: boolean;
  readonly count: ReturnType<ReturnType<typeof commandCounter>>;
  /** Whether a query came next, which may have come together with this. */
  isAsked: boolean;
}

/** Core's id of a query that is a task of its own. */
const LONE_QUERY = 'legacy_query';
/** A task that was answered is recorded as completed; the next one as scheduled and started. */
const COMPLETED_AND_NEXT = 3;

/**
 * Keeps a query from moving the workflow on. One that comes to a worker without the workflow in its cache comes with
 * the whole history, and the SDK (1.24.0) plays that to its end, with events that no workflow task has taken in yet.
 * What the workflow does about those goes out with the next task, beside what that task's own events lead to. A
 * replay sees both in one piece, does other things, and the workflow is stuck for good. Two cases:
 * - The events have no workflow task yet. Such a query fails instead, with `ASK_AGAIN`; the workflow leaves the cache,
 *   and its next task begins with the history as it is.
 * - Their task was handed to another worker, which never answered. That looks like a task of this worker until the
 *   next one comes and the history has not grown by what this one would have written. That next task fails then, and
 *   begins again with the history as it is. So does, once, one that follows a query and cannot tell, since the ends of
 *   abandoned steps may be what the history has grown by. A task that would have written nothing is not seen.
 */
export const interceptors = (): WorkflowInterceptors => {
  const newCount = commandCounter();
  let last: Moment | null = null;
  let abandoned = 0;
  /** Whether the history may lack what the task before this one would have written. */
  const lacksTask = (before: Moment, historyLength: number, jobs: number): boolean => {
    const written = before.count([]);
    const known = COMPLETED_AND_NEXT + written.events + jobs;
    const others = historyLength - before.historyLength - known;
    const maybeAbandoned = abandoned * EVENTS_OF_ABANDONED;
    abandoned = Math.max(abandoned + written.abandoned - Math.floor(Math.max(others, 0) / 2), 0);
    return others < 0 || (written.events > 0 && others + written.events <= maybeAbandoned);
  };
  return {
    internals: [
      {
        activate(input, next) {
          const { timestamp, historySizeBytes, historyLength: length, isReplaying } = input.activation;
          const jobs = input.activation.jobs ?? [];
          if (jobs.every(({ queryWorkflow }) => queryWorkflow)) {
            if (last && jobs.some(({ queryWorkflow }) => queryWorkflow?.queryId === LONE_QUERY))
              last.isAsked = true;
            return next(input);
          }
          const size = String(historySizeBytes ?? 0);
          const task = size === '0' ? '' : `${String(timestamp?.seconds)}.${timestamp?.nanos} ${size}`;
          const historyLength = length ?? 0;
          // The same task may come in pieces, but no event comes between those.
          if (last && task === last.task && historyLength === last.historyLength) return next(input);
          if (last && task !== '' && task === last.task) throw new Error(ASK_AGAIN);
          const lacks = last !== null && lacksTask(last, historyLength, eventsOfJobs(jobs));
          if (lacks && last?.isAsked && !last.isReplay)
            throw new Error('Nobody answered the workflow task before this one, which begins again');
          last = { task, historyLength, isReplay: isReplaying ?? false, count: newCount(), isAsked: false };
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
