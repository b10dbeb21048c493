import type { ActivateInput, ConcludeActivationInput } from '@temporalio/workflow';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;
type Job = Jobs[number];
type Command = ConcludeActivationInput['commands'][number];

/** How many events of a history something is: between these. */
export interface EventCount {
  readonly min: number;
  readonly max: number;
}

/** What the commands of a workflow task lead to. */
export interface Written extends EventCount {
  /** Steps that were cancelled and are not waited for: their ends will be events to which nothing here corresponds. */
  readonly abandoned: number;
}

/** The most events of such an end: its start, the end, and a workflow task that the SDK answers by itself. */
export const EVENTS_OF_ABANDONED = 5;

const exactly = (count: number): EventCount => ({ min: count, max: count });
const NONE = exactly(0);
const UNSURE: EventCount = { min: 0, max: 2 };

export const addCounts = (a: EventCount, b: EventCount): EventCount => ({
  min: a.min + b.min,
  max: a.max + b.max,
});

/** The events that led to these jobs, the workflow task itself not included. */
export const eventsOfJobs = (jobs: Jobs): EventCount => jobs.map(eventsOfJob).reduce(addCounts, NONE);

function eventsOfJob(job: Job): EventCount {
  if (job.signalWorkflow ?? job.fireTimer ?? job.cancelWorkflow) return exactly(1);
  if (job.queryWorkflow ?? job.updateRandomSeed ?? job.notifyHasPatch ?? job.doUpdate) return NONE;
  const result = job.resolveActivity?.result;
  // A start is recorded with its end.
  if (result?.completed ?? result?.failed) return eventsOfEnd(result?.failed?.failure?.cause);
  return result?.cancelled ? { min: 1, max: 2 } : UNSURE;
}

/** `temporal.api.enums.v1.TimeoutType`. */
const SCHEDULE_TO_START = 2;
const SCHEDULE_TO_CLOSE = 3;

function eventsOfEnd(cause: Cause): EventCount {
  const timeout = Number(cause?.timeoutFailureInfo?.timeoutType);
  if (timeout === SCHEDULE_TO_START) return exactly(1);
  return timeout === SCHEDULE_TO_CLOSE ? { min: 1, max: 2 } : exactly(2);
}

type Resolution = NonNullable<NonNullable<Job['resolveActivity']>['result']>;
type Cause = NonNullable<NonNullable<Resolution['failed']>['failure']>['cause'];

/** `coresdk.workflow_commands.ActivityCancellationType`. */
const TRY_CANCEL = 0;

/** Counts over the commands of one workflow after the other. */
export function commandCounter() {
  /** Steps that are scheduled, by their number, and whether their end is waited for when they are cancelled. */
  const steps = new Map<number, { awaited: boolean }>();
  /** Counts those of one workflow task, given piece by piece. */
  return () => {
    let written: Written = { ...NONE, abandoned: 0 };
    const begun = new Set<string>();
    const eventsOf = (command: Command): EventCount & { abandoned?: number } => {
      const { startTimer, cancelTimer, scheduleActivity, requestCancelActivity: cancelStep } = command;
      if (startTimer) begun.add(`timer ${startTimer.seq}`);
      if (scheduleActivity) {
        begun.add(`step ${scheduleActivity.seq}`);
        const awaited = Number(scheduleActivity.cancellationType ?? 0) !== TRY_CANCEL;
        steps.set(scheduleActivity.seq ?? 0, { awaited });
      }
      // What was begun and ended in the same task is not recorded at all.
      if (cancelTimer && begun.delete(`timer ${cancelTimer.seq}`)) return exactly(-1);
      if (cancelStep && begun.delete(`step ${cancelStep.seq}`)) return exactly(-1);
      if (cancelStep && !steps.get(cancelStep.seq ?? 0)?.awaited) return { ...exactly(1), abandoned: 1 };
      if (startTimer ?? cancelTimer ?? scheduleActivity ?? cancelStep) return exactly(1);
      if (command.upsertWorkflowSearchAttributes ?? command.modifyWorkflowProperties) return exactly(1);
      if (command.updateResponse) return command.updateResponse.rejected ? NONE : exactly(1);
      return command.respondToQuery ? NONE : UNSURE;
    };
    return (commands: readonly Command[]): Written => {
      for (const count of commands.map(eventsOf))
        written = { ...addCounts(written, count), abandoned: written.abandoned + (count.abandoned ?? 0) };
      return written;
    };
  };
}
