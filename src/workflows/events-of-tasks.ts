import type { ActivateInput, ConcludeActivationInput } from '@temporalio/workflow';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;
type Job = Jobs[number];
type Command = ConcludeActivationInput['commands'][number];

/** How many events of a history something is: between these. */
export interface EventCount {
  readonly min: number;
  readonly max: number;
}

const exactly = (count: number): EventCount => ({ min: count, max: count });
const UNSURE: EventCount = { min: 0, max: 2 };

export const addCounts = (a: EventCount, b: EventCount): EventCount => ({
  min: a.min + b.min,
  max: a.max + b.max,
});

/** Events that led to these jobs of a workflow task; those of its own steps (scheduled, started, ended) not included. */
export const eventsOfJobs = (jobs: Jobs): EventCount => jobs.map(eventsOfJob).reduce(addCounts, exactly(0));

function eventsOfJob(job: Job): EventCount {
  if (job.signalWorkflow ?? job.fireTimer ?? job.cancelWorkflow) return exactly(1);
  if (job.queryWorkflow ?? job.updateRandomSeed ?? job.notifyHasPatch) return exactly(0);
  const result = job.resolveActivity?.result;
  // Its start is recorded with its end.
  if (result?.completed ?? result?.failed) return eventsOfFailure(result?.failed?.failure?.cause);
  return UNSURE;
}

/** `temporal.api.enums.v1.TimeoutType`. */
const SCHEDULE_TO_START = 2;
const SCHEDULE_TO_CLOSE = 3;

function eventsOfFailure(cause: Cause): EventCount {
  const timeout = Number(cause?.timeoutFailureInfo?.timeoutType);
  if (timeout === SCHEDULE_TO_START) return exactly(1);
  return timeout === SCHEDULE_TO_CLOSE ? { min: 1, max: 2 } : exactly(2);
}

type Activity = NonNullable<NonNullable<Job['resolveActivity']>['result']>;
type Cause = NonNullable<NonNullable<Activity['failed']>['failure']>['cause'];

/** Counts the events that the commands of one workflow task will be, given piece by piece. */
export function countCommands(): (commands: readonly Command[]) => EventCount {
  let count = exactly(0);
  const begun = new Set<string>();
  const eventsOf = (command: Command): EventCount => {
    const { startTimer, cancelTimer, scheduleActivity, requestCancelActivity } = command;
    const begins = startTimer
      ? `timer ${startTimer.seq}`
      : scheduleActivity && `step ${scheduleActivity.seq}`;
    if (begins) begun.add(begins);
    const ends = cancelTimer ? `timer ${cancelTimer.seq}` : `step ${requestCancelActivity?.seq}`;
    // What was begun and ended in the same task is not recorded at all.
    if (begun.delete(begins ? '' : ends)) return exactly(-1);
    if (begins ?? cancelTimer ?? requestCancelActivity) return exactly(1);
    if (command.upsertWorkflowSearchAttributes ?? command.modifyWorkflowProperties) return exactly(1);
    return command.respondToQuery ? exactly(0) : UNSURE;
  };
  return (commands) => (count = commands.map(eventsOf).reduce(addCounts, count));
}
