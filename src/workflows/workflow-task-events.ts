import type { ActivateInput, ConcludeActivationInput } from '@temporalio/workflow';

type Jobs = NonNullable<ActivateInput['activation']['jobs']>;
type Job = Jobs[number];
type Command = ConcludeActivationInput['commands'][number];

/** A number of events that is not known exactly. */
interface Range {
  readonly fewest: number;
  readonly most: number;
}

/** Events that the commands of a workflow task lead to. */
export interface Written extends Range {
  /** How many of these the history shows. */
  readonly commands: number;
  /** Cancelled activities that nobody waits for: their ends will be events without a counterpart here. */
  readonly abandoned: number;
}

/** An answered task is recorded as completed, and the next one as scheduled and started. */
export const EVENTS_OF_TASK = 3;

const exactly = (events: number): Range => ({ fewest: events, most: events });
/** Jobs and commands that `codexTask` does not use: they explain any growth, but never exactly. */
const UNKNOWN: Range = { fewest: 0, most: Infinity };

/** Events that led to these jobs, without the workflow task itself. */
export const eventsOfJobs = (jobs: Jobs): Range =>
  jobs
    .map(eventsOfJob)
    .reduce((sum, each) => ({ fewest: sum.fewest + each.fewest, most: sum.most + each.most }), exactly(0));

function eventsOfJob(job: Job): Range {
  if (job.signalWorkflow ?? job.fireTimer ?? job.cancelWorkflow) return exactly(1);
  // An update's event is written with the answer to its task.
  if (job.doUpdate ?? job.initializeWorkflow ?? job.queryWorkflow) return exactly(0);
  if (job.updateRandomSeed ?? job.notifyHasPatch) return exactly(0);
  return job.resolveActivity ? eventsOfResult(job.resolveActivity.result) : UNKNOWN;
}

function eventsOfResult(result: Resolution): Range {
  // An activity that no worker had taken has no start.
  if (result?.cancelled) return { fewest: 1, most: 2 };
  if (!result?.completed && !result?.failed) return exactly(0);
  // A start is recorded with its end.
  return eventsOfEnd(result.failed?.failure?.cause);
}

/** Of `temporal.api.enums.v1.TimeoutType`. */
const SCHEDULE_TO_START = 2;
const SCHEDULE_TO_CLOSE = 3;

function eventsOfEnd(cause: Cause): Range {
  const type = Number(cause?.timeoutFailureInfo?.timeoutType);
  if (type === SCHEDULE_TO_START) return exactly(1);
  return type === SCHEDULE_TO_CLOSE ? { fewest: 1, most: 2 } : exactly(2);
}

type Resolution = NonNullable<Job['resolveActivity']>['result'];
type Cause = NonNullable<NonNullable<NonNullable<Resolution>['failed']>['failure']>['cause'];

/**
 * Values of `coresdk.workflow_commands.ActivityCancellationType` that wait for no end; `ABANDON` tells nobody either.
 */
const TRY_CANCEL = 0;
const ABANDON = 2;
/** A workflow task that only refuses updates may go unrecorded. */
const UNRECORDED = -EVENTS_OF_TASK;
/** The marker, and the upsert of `TemporalChangeVersion` by the SDK's core, which leaves it out once that is full. */
const PATCH = 2;
/** Commands without an event of their own, or with one after which there is no other task. */
const SILENT = [
  'respondToQuery',
  'completeWorkflowExecution',
  'failWorkflowExecution',
  'cancelWorkflowExecution',
  'continueAsNewWorkflowExecution',
] as const satisfies (keyof Command)[];

/** Counts the commands of a workflow's tasks, one task after the other. */
export function commandCounter() {
  /** How the scheduled activities are cancelled, by their number. */
  const cancellations = new Map<number, number>();
  /** Counts the commands of one workflow task, given piece by piece. */
  return () => {
    let commands = 0;
    let abandoned = 0;
    let hasRefused = false;
    let isKnown = true;
    const begun = new Set<string>();
    const add = (events: number) => void (commands += events);
    const cancel = (how: number = TRY_CANCEL) => {
      if (how !== ABANDON) add(1);
      if (how === TRY_CANCEL || how === ABANDON) abandoned++;
    };
    const count = (command: Command) => {
      const { startTimer, cancelTimer, scheduleActivity, requestCancelActivity, updateResponse } = command;
      if (startTimer) begun.add(`timer ${startTimer.seq}`);
      if (scheduleActivity) {
        const { seq, cancellationType } = scheduleActivity;
        begun.add(`step ${seq}`);
        cancellations.set(seq ?? 0, cancellationType ?? TRY_CANCEL);
      }
      const ended = cancelTimer ? `timer ${cancelTimer.seq}` : `step ${requestCancelActivity?.seq}`;
      // An activity started and cancelled in the same task is not recorded at all.
      if (begun.delete(startTimer || scheduleActivity ? '' : ended)) add(-1);
      else if (requestCancelActivity) cancel(cancellations.get(requestCancelActivity.seq ?? 0));
      else if (updateResponse?.rejected) hasRefused = true;
      else if (updateResponse) add(1);
      else if (startTimer ?? cancelTimer ?? scheduleActivity) add(1);
      else if (command.upsertWorkflowSearchAttributes ?? command.modifyWorkflowProperties) add(1);
      else if (command.setPatchMarker) add(PATCH);
      else isKnown &&= SILENT.some((kind) => command[kind]);
    };
    return (more: readonly Command[]): Written => {
      more.forEach(count);
      const mayGo = hasRefused && commands === 0;
      const range = isKnown ? { fewest: mayGo ? UNRECORDED : commands, most: commands } : UNKNOWN;
      return { ...range, commands: isKnown ? commands : Infinity, abandoned };
    };
  };
}
