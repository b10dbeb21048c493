import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm.js';
import { globalHandlers } from '@temporalio/worker/lib/workflow/vm-shared.js';

/**
 * Leaves out two things of a worker in `debugMode`, whose workflows run in this process, that cost more than the
 * workflows: a stack trace of each promise, for a query that no test asks, and a thread for each activation that ends
 * it after 49 days.
 */
export function quickWorkflows(): void {
  Object.assign(globalHandlers, { setPromiseHook: () => undefined });
  const { prototype } = ReusableVMWorkflowCreator;
  if (Object.hasOwn(prototype, LEFT_OUT)) return;
  const createWorkflow = Reflect.get(prototype, 'createWorkflow');
  prototype.createWorkflow = function (this: ReusableVMWorkflowCreator, options) {
    Object.assign(this, { isolateExecutionTimeoutMs: undefined });
    return createWorkflow.call(this, options);
  };
  Object.defineProperty(prototype, LEFT_OUT, { value: true });
}

const LEFT_OUT = Symbol('left out');
