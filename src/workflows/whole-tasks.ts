import type { WorkflowInterceptors } from '@temporalio/workflow';
import { ASK_AGAIN } from '../errors.js';

/** Where a workflow stands in its history when it is activated. */
interface Moment {
  /** Of the workflow task: when it started, and how large the history was by then; empty: the server does not tell. */
  readonly task: string;
  /** Events up to here are taken in. */
  readonly historyLength: number;
}

/**
 * Keeps a query from moving the workflow on. One that comes to a worker without the workflow in its cache comes with
 * the whole history, and the SDK (1.24.0) plays that to its end, with events that no workflow task has taken in yet.
 * What the workflow does about those goes out with the next task, beside what that task's own events lead to. A
 * replay sees both in one piece, does other things, and the workflow is stuck for good. Here such a query fails
 * instead, with `ASK_AGAIN`; the workflow leaves the cache, and its next task begins with the history as it is.
 */
export const interceptors = (): WorkflowInterceptors => {
  let last: Moment | null = null;
  return {
    internals: [
      {
        activate(input, next) {
          const { timestamp, historySizeBytes, historyLength, jobs } = input.activation;
          // A query alone moves nothing.
          if (jobs?.every(({ queryWorkflow }) => queryWorkflow)) return next(input);
          const size = String(historySizeBytes ?? 0);
          const task = size === '0' ? '' : `${String(timestamp?.seconds)}.${timestamp?.nanos} ${size}`;
          const now = { task, historyLength: historyLength ?? 0 };
          // The same task may come in pieces, but no event comes between those.
          const isNoTask =
            last && task !== '' && task === last.task && now.historyLength > last.historyLength;
          if (isNoTask) throw new Error(ASK_AGAIN);
          last = now;
          next(input);
        },
      },
    ],
  };
};
