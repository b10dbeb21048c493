import type { WorkflowClientInterceptor } from '@temporalio/client';
import { isOutOfTurn } from './client-failure.js';
import { isRepeated, untilTaken } from './task-calls.js';

/**
 * Repeats the queries of a client of your own that a task refuses because they come between two of its workflow tasks,
 * for up to 20 s: `new Client({ interceptors: { workflow: [askAgain] } })`. A `TaskHandle` does so itself.
 */
export const askAgain: WorkflowClientInterceptor = {
  query: (input, next) =>
    // A handle knows when to give up: a task that has ended takes nothing any more.
    isRepeated() ? next(input) : untilTaken(() => next(input), undefined, isOutOfTurn),
};
