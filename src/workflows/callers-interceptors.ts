import { workflowInfo, type WorkflowInterceptors } from '@temporalio/workflow';
import { isOurWorkflow } from './is-ours.js';
import { interceptors as keepQueriesSafe } from './query-safety-interceptor.js';
import { interceptors as gatherSignals } from './signal-batch-interceptor.js';

/** Runs our interceptors in a caller's bundle for our workflows only. */
export const interceptors = (): WorkflowInterceptors => {
  if (!isOurWorkflow(workflowInfo().workflowType)) return {};
  const both = [keepQueriesSafe(), gatherSignals()];
  return { internals: both.flatMap(({ internals }) => internals ?? []) };
};
