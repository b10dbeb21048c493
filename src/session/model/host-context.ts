import type { HostSignals, PermissionDecision } from '../../contract/index.js';
import type { DecisionRefusal } from '../../input/decision-refusals.js';
import type { Config } from '../../config.js';
import type { CodexBinary } from '../../codex/binary.js';
import type { TaskRef } from '../../contract/activities.js';
import type { HostTasks } from './host-tasks.js';
import type { EndedTasks } from './ended-journals.js';
import type { HostFitness } from './host-fitness.js';
import type { HostLease } from './host-lease.js';
import type { AccountPorts, TokenPorts } from './account-ports.js';

/** Outcome of a decision. */
export type Decided = 'taken' | 'workflow-gone' | DecisionRefusal;

/** Dependencies of every activity on this host. */
export interface HostContext extends AccountPorts, TokenPorts {
  readonly config: Config;
  readonly codex: CodexBinary;
  /** Codex gets an allow-list of it. */
  readonly env: NodeJS.ProcessEnv;
  readonly tasks: HostTasks;
  readonly ended: EndedTasks;
  readonly hostLease: HostLease;
  /** Absent: the host counts as able to start tasks. */
  readonly fitness?: HostFitness;
  /** Sends one signal to a task's workflow. */
  signalWorkflow<N extends keyof HostSignals>(
    ref: TaskRef,
    name: N,
    argument: HostSignals[N],
  ): Promise<'sent' | 'workflow-gone'>;
  /**
   * Has the task's workflow decide a request and returns its answer; the same decision again gets the same answer.
   * @throws when the workflow did not answer
   */
  decidePermission(ref: TaskRef, decision: PermissionDecision): Promise<Decided>;
  /** Called before Codex starts, and again once it has: what must outlive the worker runs then. */
  guard(): void;
  /** Whether the workflow of this run of the task still runs. */
  isRunning(ref: TaskRef): Promise<boolean>;
  /**
   * The hosts that running tasks name as theirs.
   * @throws when one of the tasks does not answer
   */
  hostsInUse(signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** The address at which clients reach a task here. */
  taskUrl(taskId: string): string;
}

/** Needed to end or park a task here: its account is kept, and the list of tasks knows it. */
export type KeepingHost = Pick<HostContext, keyof AccountPorts>;

/** Needed to save a task for another host. */
export type SavingHost = Pick<HostContext, 'config' | 'hostLease' | 'hostId' | 'store' | 'log'>;
