import { workflowInfo, type WorkflowInterceptors } from '@temporalio/workflow';
import { CODEX_TASK } from '../contract/index.js';

/** Least number of signals in one workflow task that are batched. */
const MANY = 100;
/** Name of the signal that carries a batch; nobody sends it. */
const BATCH = 'codexTask.signals';

/** Names of the signals in each batch that was not taken yet; the batch has their arguments. */
const batches: string[][] = [];

/**
 * Passes the signals of a burst to a task as one. The SDK (1.24.0) makes ten promises for each signal and looks up a
 * stack trace for each in the source map: 1.5 ms of a core a signal, so a few thousand take longer than a workflow
 * task may.
 */
export const interceptors = (): WorkflowInterceptors =>
  workflowInfo().workflowType !== CODEX_TASK ? {} : { internals: [{ activate: gather }] };

type Gather = NonNullable<NonNullable<WorkflowInterceptors['internals']>[number]['activate']>;
type Job = NonNullable<Parameters<Gather>[0]['activation']['jobs']>[number];
type Signal = NonNullable<Job['signalWorkflow']>;

const gather: Gather = (input, next) => {
  const { activation } = input;
  const jobs = activation.jobs ?? [];
  if (jobs.filter(({ signalWorkflow }) => signalWorkflow).length < MANY) return next(input);
  const gathered: Job[] = [];
  let batch: { signal: Signal; names: string[] } | null = null;
  for (const job of jobs) {
    const { signalWorkflow } = job;
    if (!signalWorkflow) {
      batch = null;
      gathered.push(job);
      continue;
    }
    if (!batch) {
      batch = { signal: { ...signalWorkflow, signalName: BATCH, input: [], headers: {} }, names: [] };
      batches.push(batch.names);
      // Keeps the job itself: the SDK reads more of it than its fields.
      job.signalWorkflow = batch.signal;
      gathered.push(job);
    }
    batch.names.push(signalWorkflow.signalName ?? '');
    batch.signal.input!.push(signalWorkflow.input?.[0] ?? NOTHING);
  }
  activation.jobs = gathered;
  next(input);
};

/** A signal without an argument has none in a batch either. */
const NOTHING = { metadata: { encoding: Uint8Array.from('binary/null', (each) => each.charCodeAt(0)) } };

/** Passes on each signal of a batch with its first argument, in order. False: this signal is no batch. */
export function takeBatch(
  name: string,
  args: unknown[],
  take: (name: string, argument: unknown) => void,
): boolean {
  if (name !== BATCH || batches.length === 0) return false;
  batches.shift()!.forEach((each, index) => take(each, args[index]));
  return true;
}
