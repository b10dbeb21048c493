import type { Client } from '@temporalio/client';
import { Notifier } from '../async/notifier.js';
import type { TaskRef } from '../contract/activities.js';
import { reasonOf, TaskError } from '../errors.js';
import type { Heard, Play } from './play.js';
import { checkScript, type Script } from './script.js';
import { openTaskSignals, type TaskSignals } from './task-signals.js';

/** One task that plays a script, over all its hosts. */
export interface ScriptedTask {
  readonly taskId: string;
  readonly runId: string;
  readonly script: Script;
  readonly heard: Heard;
  readonly signals: TaskSignals;
  /** There once a host has prepared it. */
  play: Play | null;
  /** Assignments whose host is lost. */
  readonly lost: Set<string>;
  /** Ids of what deliveries brought. */
  readonly taken: Set<string>;
  /** Until when its account is out of quota, milliseconds since the epoch; 0: it is not. */
  limitedUntilMs: number;
  leaseEpoch: number;
  /** Begins to follow its session, in place of an earlier attempt. */
  begin(assignmentId: string): { readonly signal: AbortSignal; over(): void };
  /** The assignment whose session is followed now. */
  readonly followed: string | null;
  /** Ends what plays: with an error it fails with that. */
  end(error?: Error): void;
}

/** All tasks of a worker. */
export interface ScriptedTasks {
  /** Two, which take turns in having a task. */
  readonly hostIds: readonly string[];
  /** Milliseconds since the epoch, by the server's clock. */
  readonly now: () => Promise<number>;
  /** A request of any of them opened. */
  readonly anyAsked: Notifier;
  /** The task of this run, begun now if it is new. @throws TaskError `BadInput` when there is no script for it */
  of(ref: TaskRef): ScriptedTask;
  /** The newest of this id. @throws TaskError `NotFound` */
  find(taskId: string): ScriptedTask;
  all(): ScriptedTask[];
}

export interface ScriptedTasksOptions {
  readonly client: Client;
  readonly hostIds: readonly string[];
  readonly now: () => Promise<number>;
  readonly scriptFor: (taskId: string) => unknown;
  readonly newHeard: () => Heard;
}

export function openScriptedTasks(options: ScriptedTasksOptions): ScriptedTasks {
  const { client, hostIds, now, scriptFor, newHeard } = options;
  const tasks = new Map<string, ScriptedTask>();
  return {
    hostIds,
    now,
    anyAsked: new Notifier(),
    of(ref) {
      const known = tasks.get(ref.taskId);
      if (known?.runId === ref.runId) return known;
      const script = scriptOf(ref.taskId, scriptFor);
      const task = openTask(ref, script, newHeard(), openTaskSignals(client, ref));
      tasks.set(ref.taskId, task);
      return task;
    },
    find(taskId) {
      const task = tasks.get(taskId);
      if (task) return task;
      throw new TaskError('NotFound', `No task ${taskId} came to this scripted worker`);
    },
    all: () => [...tasks.values()],
  };
}

function scriptOf(taskId: string, scriptFor: (taskId: string) => unknown): Script {
  try {
    return checkScript(scriptFor(taskId));
  } catch (error) {
    throw new TaskError('BadInput', `No script for task ${taskId}: ${reasonOf(error)}`, { cause: error });
  }
}

function openTask(
  { taskId, runId }: TaskRef,
  script: Script,
  heard: Heard,
  signals: TaskSignals,
): ScriptedTask {
  let following: { assignmentId: string; over: AbortController } | null = null;
  return {
    taskId,
    runId,
    script,
    heard,
    signals,
    play: null,
    lost: new Set(),
    taken: new Set(),
    limitedUntilMs: 0,
    leaseEpoch: 0,
    begin(assignmentId) {
      following?.over.abort();
      const mine = { assignmentId, over: new AbortController() };
      following = mine;
      return {
        signal: mine.over.signal,
        over: () => void (following === mine && (following = null)),
      };
    },
    get followed() {
      return following?.assignmentId ?? null;
    },
    end: (error) => following?.over.abort(error),
  };
}
