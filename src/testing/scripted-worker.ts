import { randomBytes } from 'node:crypto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkerOptions, type WorkflowBundleOption } from '@temporalio/worker';
import type { SharedActivities } from '../activities/shared.js';
import { claimQueueOf, DEFAULT_TASK_QUEUE, hostQueueOf, type PermissionRequest } from '../contract/index.js';
import { timeLimit } from '../async/time-limit.js';
import { TaskError } from '../errors.js';
import { workflowCode } from '../temporal/workflow-code.js';
import { openKeptTexts } from './kept-texts.js';
import { newHeard, type Heard } from './play.js';
import { checkScript, type Script } from './script.js';
import { scriptedSteps } from './scripted-steps.js';
import { openScriptedTasks, type ScriptedTasks } from './scripted-tasks.js';

export interface ScriptedWorkerOptions {
  /** Of the tasks; default `codex-tasks`. */
  taskQueue?: string | undefined;
  /**
   * Code of the workflows in place of the package's own. `none`: a Worker of yours on the same queue has them, and takes
   * `activities` beside its own.
   */
  workflowBundle?: WorkflowBundleOption | 'none' | undefined;
}

/** Workers whose tasks play scripts. */
export interface ScriptedWorker {
  readonly taskQueue: string;
  /** The steps of the task queue, for a Worker of yours that has `codexTask` among its workflows. */
  readonly activities: SharedActivities;
  /** What a task was told so far. @throws TaskError `NotFound` when none of this id came */
  heard(taskId: string): Readonly<Heard>;
  /**
   * The request that a task has open, as soon as it has one and its workflow can be told a decision.
   * @param timeoutMs milliseconds until it fails; default 10,000
   * @throws TaskError `NotFound` when it asks nothing in that time
   */
  whenAsked(taskId: string, timeoutMs?: number): Promise<PermissionRequest>;
  /**
   * Loses the host on which the session of the task is; the step at which its script stands is done again on another.
   * @throws TaskError `NotFound` when it has no session just now
   */
  loseHost(taskId: string): void;
  /** Ends the sessions and the workers; tasks that have not ended stay where they are. */
  close(): Promise<void>;
}

/** What is needed of an environment; a `TestWorkflowEnvironment` has it. */
export type ScriptedPlace = Pick<
  TestWorkflowEnvironment,
  | 'client'
  | 'connection'
  | 'nativeConnection'
  | 'namespace'
  | 'supportsTimeSkipping'
  | 'currentTimeMs'
  | 'sleep'
>;

/**
 * Starts what a worker of codex tasks has, without codex, database and listener: the real workflow `codexTask`, and
 * activities that play a script in place of a host. Each task plays it from its start.
 * @param script for all tasks, or what gives the script for a task's id; what it throws or gives that is no script
 * fails the task with `BadInput`
 * @throws TaskError `BadInput` for what is no script
 */
export async function startScriptedWorker(
  environment: ScriptedPlace,
  script: Script | ((taskId: string) => Script),
  { taskQueue = DEFAULT_TASK_QUEUE, workflowBundle }: ScriptedWorkerOptions = {},
): Promise<ScriptedWorker> {
  const scriptFor = typeof script === 'function' ? script : fixed(checkScript(script));
  const name = `scripted-${randomBytes(4).toString('hex')}`;
  const tasks = openScriptedTasks({
    client: environment.client,
    hostIds: [`${name}-a`, `${name}-b`],
    now: () => environment.currentTimeMs(),
    scriptFor,
    newHeard,
  });
  const { shared, claim, host } = scriptedSteps(tasks, openKeptTexts());
  const common: Pick<WorkerOptions, 'connection' | 'namespace' | 'debugMode'> = {
    connection: environment.nativeConnection,
    namespace: environment.namespace ?? 'default',
    // Workflows run in this thread: another one costs a test more than all it does.
    debugMode: true,
  };
  const workflows = async () => {
    if (workflowBundle === 'none') return [];
    const code = workflowBundle ? { workflowBundle } : await workflowCode(false);
    return [await Worker.create({ ...common, taskQueue, ...code, activities: shared })];
  };
  const workers = [
    ...(await workflows()),
    await Worker.create({ ...common, taskQueue: claimQueueOf(taskQueue), activities: claim }),
    ...(await Promise.all(
      tasks.hostIds.map((hostId) =>
        Worker.create({ ...common, taskQueue: hostQueueOf(hostId), activities: host }),
      ),
    )),
  ];
  const running = Promise.all(workers.map((worker) => worker.run()));
  // Who closes hears of it.
  running.catch(() => undefined);
  return {
    taskQueue,
    activities: shared,
    heard: (taskId) => tasks.find(taskId).heard,
    whenAsked: (taskId, timeoutMs = ASKED_MS) => whenAsked(tasks, taskId, timeoutMs),
    loseHost(taskId) {
      const task = tasks.find(taskId);
      if (task.followed === null) throw new TaskError('NotFound', `Task ${taskId} has no session now`);
      task.end(new TaskError('HostLost', `The host of task ${taskId} was lost`));
    },
    async close() {
      for (const task of tasks.all()) task.end();
      for (const worker of workers) worker.shutdown();
      await running;
    },
  };
}

/** For a test that waits for what never comes. */
const ASKED_MS = 10_000;

async function whenAsked(
  tasks: ScriptedTasks,
  taskId: string,
  timeoutMs: number,
): Promise<PermissionRequest> {
  const late = timeLimit(timeoutMs);
  for (;;) {
    const task = tasks.all().find((each) => each.taskId === taskId);
    const open = task?.play?.open;
    if (open) {
      await task.signals.said();
      return open.request;
    }
    await tasks.anyAsked.wait(late).catch(() => {
      throw new TaskError('NotFound', `Task ${taskId} asked nothing within ${timeoutMs} ms`);
    });
  }
}

const fixed = (script: Script) => () => script;
