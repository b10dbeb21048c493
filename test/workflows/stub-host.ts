import { Worker, type WorkerOptions } from '@temporalio/worker';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { CancelledFailure, Context } from '@temporalio/activity';
import { randomBytes } from 'node:crypto';
import type * as args from '../../src/contract/activities.js';
import type { ClaimActivities, HostActivities, SharedActivities } from '../../src/activities/index.js';
import { claimQueueOf, hostQueueOf, NO_USAGE, type SessionReport } from '../../src/contract/index.js';
import { workflowBundle } from '../support/built-package.js';

export type Stubs = SharedActivities & ClaimActivities & HostActivities;

let revision = 0;

export const report = (activity: SessionReport['activity'], turns = 0): SessionReport => ({
  revision: ++revision,
  activity,
  threadId: 'thread-1',
  model: 'gpt-5.5',
  turns,
  usage: NO_USAGE,
});

export const ended = (kind: 'completed' | 'interrupted' | 'closed'): args.SessionEnd => ({
  end: { kind },
  report: report('idle', 1),
  finalMessage: 'done',
  finalMessageTruncated: false,
});

/** Steps that succeed at once, recorded in `calls`; a test replaces the ones it is about. */
export function stubs(calls: string[], overrides: Partial<Stubs> = {}): Stubs {
  const defaults: Stubs = {
    acquireLease: async () => ({
      kind: 'leased',
      lease: { seedId: 'seed-1', holder: 'h', leaseEpoch: 1 },
      searchAttributes: false,
    }),
    releaseLease: async () => undefined,
    fenceHost: async () => 'fenced',
    awaitHost: async () => 'over',
    evictTask: async () => 'left',
    ...keptTexts(),
    claimHost: async () => ({ hostId: 'unset' }),
    prepareWorkdir: async () => undefined,
    launchAppServer: async () => ({ threadId: 'thread-1', model: 'gpt-5.5', controls: [], warnings: [] }),
    openListener: async () => ({ url: 'http://127.0.0.1:1/tasks/t' }),
    followSession: async () => ended('completed'),
    deliver: async () => report('running'),
    yieldAssignment: async () => undefined,
    parkTask: async () => undefined,
    unparkTask: async () => undefined,
    endSession: async () => undefined,
    saveCredential: async () => ({ warnings: [], quarantineId: null }),
    captureSeed: async () => ({ seedId: 'seed-1', skipped: null }),
    takeSnapshot: async () => ({ snapshotId: 'snapshot-1' }),
    closeTask: async () => undefined,
  };
  const all = { ...defaults, ...overrides } as Record<string, (argument: unknown) => Promise<unknown>>;
  const recorded = Object.entries(all).map(([name, step]) => [
    name,
    (argument: unknown) => {
      calls.push(name);
      return step(argument);
    },
  ]);
  return Object.fromEntries(recorded) as Stubs;
}

/** Texts of workflows, in memory. */
export function keptTexts(): Pick<Stubs, 'keepText' | 'readText' | 'dropTexts'> & {
  texts: Map<string, string>;
} {
  const texts = new Map<string, string>();
  const steps = {
    keepText: async ({ text }: args.KeepArguments) => {
      const blobId = randomBytes(12).toString('hex');
      texts.set(blobId, text);
      return { blobId };
    },
    readText: async ({ blobId }: { blobId: string }) => ({ text: texts.get(blobId)! }),
    dropTexts: async ({ blobIds }: args.Kept) => blobIds.forEach((id) => texts.delete(id)),
  };
  return Object.defineProperty(steps as typeof steps & { texts: Map<string, string> }, 'texts', {
    value: texts,
  });
}

/** What a long step does until its workflow is done with it. */
export async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), 100);
  try {
    return await context.cancelled;
  } catch (error) {
    throw error instanceof CancelledFailure ? error : new CancelledFailure('cancelled');
  } finally {
    clearInterval(timer);
  }
}

/** What `claimHost` answers for a second host; anything else is the first. */
export const OTHER_HOST = 'other';

/** The worker of the first host's own queue. */
export interface HostWorker {
  /** Resolves when it takes no step any more and has none. */
  pause(): Promise<void>;
  goOn(): Promise<void>;
}

/** What a test sets of the workers; `taskQueue`: the one of workers before these. */
export interface WorkersOptions {
  taskQueue?: string;
  /** Of the worker that has the workflows. */
  workflows?: Partial<WorkerOptions>;
  /** Of the others. */
  steps?: Partial<WorkerOptions>;
}

export const freshQueue = (): string => `q-${randomBytes(4).toString('hex')}`;

/** Runs `test` while workers with these steps serve a fresh task queue; gives `test` that queue. */
export async function withWorkers<T>(
  environment: TestWorkflowEnvironment,
  steps: Stubs,
  test: (taskQueue: string, host: HostWorker) => Promise<T>,
  options: WorkersOptions = {},
): Promise<T> {
  const { taskQueue = freshQueue() } = options;
  const hostId = `host-${taskQueue}`;
  const place = { connection: environment.nativeConnection, namespace: environment.namespace ?? 'default' };
  const common = { ...place, ...options.steps };
  const acquireLease: Stubs['acquireLease'] = (argument) => steps.acquireLease(argument);
  const releaseLease: Stubs['releaseLease'] = (lease) => steps.releaseLease(lease);
  const fenceHost: Stubs['fenceHost'] = (argument) => steps.fenceHost(argument);
  const awaitHost: Stubs['awaitHost'] = (argument) => steps.awaitHost(argument);
  const evictTask: Stubs['evictTask'] = (argument) => steps.evictTask(argument);
  const keepText: Stubs['keepText'] = (argument) => steps.keepText(argument);
  const readText: Stubs['readText'] = (argument) => steps.readText(argument);
  const dropTexts: Stubs['dropTexts'] = (argument) => steps.dropTexts(argument);
  const claimHost: Stubs['claimHost'] = async (ref) => {
    const claimed = await steps.claimHost(ref);
    return { ...claimed, hostId: claimed.hostId === OTHER_HOST ? `${hostId}-other` : hostId };
  };
  const workers = await Promise.all([
    Worker.create({
      ...place,
      taskQueue,
      workflowBundle: await workflowBundle(),
      ...options.workflows,
      // Workflows run in this thread: another one for each test costs more than the test.
      debugMode: true,
      activities: {
        acquireLease,
        releaseLease,
        fenceHost,
        awaitHost,
        evictTask,
        keepText,
        readText,
        dropTexts,
      },
    }),
    Worker.create({ ...common, taskQueue: claimQueueOf(taskQueue), activities: { claimHost } }),
    Worker.create({ ...common, taskQueue: hostQueueOf(`${hostId}-other`), activities: steps }),
  ]);
  const running = Promise.all(workers.map((worker) => worker.run()));
  const host = hostWorker(() =>
    Worker.create({ ...common, taskQueue: hostQueueOf(hostId), activities: steps }),
  );
  await host.goOn();
  try {
    return await test(taskQueue, host);
  } finally {
    for (const worker of workers) worker.shutdown();
    await Promise.all([running, host.pause()]);
  }
}

function hostWorker(create: () => Promise<Worker>): HostWorker {
  let current: { worker: Worker; over: Promise<void> } | null = null;
  return {
    async pause() {
      const paused = current;
      current = null;
      paused?.worker.shutdown();
      await paused?.over;
    },
    async goOn() {
      const worker = await create();
      current = { worker, over: worker.run() };
    },
  };
}
