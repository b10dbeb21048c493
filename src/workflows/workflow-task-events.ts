import type { ActivateInput, ConcludeActivationInput } from '@temporalio/workflow';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;
type Job = Jobs[number];
type Command = ConcludeActivationInput['commands'][number];

/** What the commands of a workflow task lead to. */
export interface Written {
  /** No fewer events than these. */
  readonly events: number;
  /** Steps that were cancelled and are not waited for: their ends will be events to which nothing here corresponds. */
  readonly abandoned: number;
}

/** The most events of such an end: its start, the end, and a workflow task that the SDK answers by itself. */
export const EVENTS_OF_ABANDONED = 5;

/** The fewest events that led to these jobs; the workflow task itself is not included. */
export const eventsOfJobs = (jobs: Jobs): number => jobs.reduce((sum, job) => sum + eventsOfJob(job), 0);

function eventsOfJob(job: Job): number {
  if (job.signalWorkflow ?? job.fireTimer ?? job.cancelWorkflow) return 1;
  const result = job.resolveActivity?.result;
  if (result?.cancelled) return 1;
  if (!result?.completed && !result?.failed) return 0;
  // A start is recorded with its end.
  return mayNotHaveStarted(result.failed?.failure?.cause) ? 1 : 2;
}

/** Of `temporal.api.enums.v1.TimeoutType`: schedule to start, schedule to close. */
const TIMEOUTS_BEFORE_START = [2, 3];

const mayNotHaveStarted = (cause: Cause): boolean =>
  TIMEOUTS_BEFORE_START.includes(Number(cause?.timeoutFailureInfo?.timeoutType));

type Resolution = NonNullable<NonNullable<Job['resolveActivity']>['result']>;
type Cause = NonNullable<NonNullable<Resolution['failed']>['failure']>['cause'];

/** Those of `coresdk.workflow_commands.ActivityCancellationType` that wait for no end; `ABANDON` tells nobody either. */
const TRY_CANCEL = 0;
const ABANDON = 2;
/** A workflow task that only refuses an update may go unrecorded. */
const REFUSED = -3;

/** Counts the commands of a workflow's tasks, one task after the other. */
export function commandCounter() {
  /** How the scheduled steps are cancelled, by their number. */
  const cancellations = new Map<number, number>();
  /** Counts those of one workflow task, given piece by piece. */
  return () => {
    let written: Written = { events: 0, abandoned: 0 };
    const begun = new Set<string>();
    const add = (events: number, abandoned = 0) =>
      (written = { events: written.events + events, abandoned: written.abandoned + abandoned });
    const cancel = (how: number = TRY_CANCEL) =>
      add(how === ABANDON ? 0 : 1, how === TRY_CANCEL || how === ABANDON ? 1 : 0);
    const count = (command: Command) => {
      const { startTimer, cancelTimer, scheduleActivity, requestCancelActivity, updateResponse } = command;
      if (startTimer) begun.add(`timer ${startTimer.seq}`);
      if (scheduleActivity) {
        const { seq, cancellationType } = scheduleActivity;
        begun.add(`step ${seq}`);
        cancellations.set(seq ?? 0, cancellationType ?? TRY_CANCEL);
      }
      const ended = cancelTimer ? `timer ${cancelTimer.seq}` : `step ${requestCancelActivity?.seq}`;
      // What was begun and ended in the same task is not recorded at all.
      if (begun.delete(startTimer || scheduleActivity ? '' : ended)) add(-1);
      else if (requestCancelActivity) cancel(cancellations.get(requestCancelActivity.seq ?? 0));
      else if (updateResponse) add(updateResponse.rejected ? REFUSED : 1);
      else if (startTimer ?? cancelTimer ?? scheduleActivity) add(1);
      else if (command.upsertWorkflowSearchAttributes ?? command.modifyWorkflowProperties) add(1);
    };
    return (commands: readonly Command[]): Written => {
      commands.forEach(count);
      return written;
    };
  };
}
