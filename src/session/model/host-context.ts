import type { HostSignals, PermissionDecision } from '../../contract/index.js';
import type { DecisionRefusal } from '../../input/decision-refusals.js';
import type { Config } from '../../config.js';
import type { CodexBinary } from '../../codex/binary.js';
import type { TaskRef } from '../../contract/activities.js';
import type { HostTasks } from './host-tasks.js';
import type { EndedTasks } from './ended-journals.js';
import type { HostFitness } from './host-fitness.js';
import type { HostRight } from './host-right.js';
import type { AccountPorts, TokenPorts } from './account-ports.js';

/** What became of a decision. */
export type Decided = 'taken' | 'workflow-gone' | DecisionRefusal;

/** What every step on this host works with. */
export interface HostContext extends AccountPorts, TokenPorts {
  readonly config: Config;
  readonly codex: CodexBinary;
  /** Codex gets an allow-list of it. */
  readonly env: NodeJS.ProcessEnv;
  readonly tasks: HostTasks;
  readonly ended: EndedTasks;
  readonly right: HostRight;
  /** Absent: nobody doubts that it can begin tasks. */
  readonly fitness?: HostFitness;
  /** Sends one signal to a task's workflow. */
  signalWorkflow<N extends keyof HostSignals>(
    ref: TaskRef,
    name: N,
    argument: HostSignals[N],
  ): Promise<'sent' | 'workflow-gone'>;
  /**
   * Has the task's workflow decide a request, and gives its word; the same decision again gets the same word.
   * @throws when the workflow did not say
   */
  decidePermission(ref: TaskRef, decision: PermissionDecision): Promise<Decided>;
  /** Called before codex starts, and again once it has: what must outlive the worker is there then. */
  guard(): void;
  /** Whether the workflow of this run of the task still runs. */
  isRunning(ref: TaskRef): Promise<boolean>;
  /** The hosts that running tasks name as theirs. @throws when one of the tasks does not say */
  hostsInUse(signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** The address under which clients reach a task here. */
  taskUrl(taskId: string): string;
}

/** What it takes to end a task here or to let it wait: its account is kept, and the list of tasks tells of it. */
export type KeepingHost = Pick<HostContext, keyof AccountPorts>;

/** What it takes to save a task for another host. */
export type SavingHost = Pick<HostContext, 'config' | 'right' | 'hostId' | 'store' | 'log'>;
