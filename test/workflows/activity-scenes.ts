import { Context } from '@temporalio/activity';
import { WorkflowFailedError, type ApplicationFailure, type WorkflowClient } from '@temporalio/client';
import { asActivities } from '../../src/activities/as-activity.js';
import { SLOTS_OF } from '../../src/activities/slots-of.js';
import { CODEX_TASK, sendMessageSignal, stateQuery, type CodexTaskInput } from '../../src/contract/index.js';
import { TaskError } from '../../src/errors.js';
import type { Acquired, SessionEnd } from '../../src/contract/activities.js';
import type { Handle } from './run-task.js';
import { ended, OTHER_HOST, report, stubs, type Stubs } from './stub-host.js';

/** Every activity of a worker. */
export type Step = keyof typeof SLOTS_OF;

/**
 * How a task comes to a step, beside what every task goes through. `leased`: it has a seed. `message`: it has a
 * message to deliver. `limited`: its account meets a usage limit. `held`: another run left an assignment on a host. `lost`:
 * its host is gone. `unfit`: its host lives and cannot go on with it. `large`: its input is too large to carry.
 */
export type Way = 'any' | 'leased' | 'message' | 'limited' | 'held' | 'lost' | 'unfit' | 'large';

/** How a task comes to each step. A text names the file that has what is said here of the others. */
export const WAY_TO = {
  acquireLease: 'leased',
  releaseLease: 'leased',
  fenceHost: 'lost',
  awaitHost: 'lost',
  evictTask: 'unfit',
  claimHost: 'leased',
  prepareWorkdir: 'leased',
  launchAppServer: 'leased',
  openListener: 'leased',
  followSession: 'leased',
  deliver: 'message',
  parkTask: 'limited',
  unparkTask: 'limited',
  yieldAssignment: 'held',
  endSession: 'leased',
  saveCredential: 'leased',
  captureSeed: 'leased',
  takeSnapshot: 'leased',
  closeTask: 'leased',
  keepText: 'large',
  dropTexts: 'large',
  readText: 'retried-run.long.test.ts',
  checkSeed: 'verify-pool.test.ts',
  listSeedsToVerify: 'verify-pool.test.ts',
} as const satisfies Record<Step, Way | `${string}.test.ts`>;

/** Steps of which each table says something: one that is added is in all of them before they compile. */
export type TabledStep = {
  [K in Step]: (typeof WAY_TO)[K] extends Way ? K : never;
}[Step];

const isTabled = (step: string): step is TabledStep => !WAY_TO[step as Step].endsWith('.test.ts');
export const TABLED: TabledStep[] = Object.keys(WAY_TO).filter(isTabled);

/** What one task does. */
export interface Life {
  readonly way: Way;
  /** Each attempt of each step, in order. */
  readonly calls: Step[];
  granted: number;
  followed: number;
}

export const newLife = (way: Way): Life => ({ way, calls: [], granted: 0, followed: 0 });

type AnyStep = (argument: unknown) => Promise<unknown>;

/**
 * Steps for tasks on one task queue, whose lives are told by the ids of their workflows.
 * @param instead what a step does in place of what it usually does
 */
export function stepsOfLives(
  taskQueue: string,
  lives: ReadonlyMap<string, Life>,
  instead: (step: Step, usual: () => Promise<unknown>) => Promise<unknown>,
): Stubs {
  const life = () => lives.get(Context.current().info.workflowExecution!.workflowId)!;
  const noSeed: Acquired = { kind: 'no-seed', searchAttributes: false };
  const leased: Acquired = {
    kind: 'leased',
    lease: { seedId: 'seed-1', holder: 'h', leaseEpoch: 1 },
    searchAttributes: false,
  };
  const held: Acquired = {
    kind: 'held',
    by: { taskId: 't', runId: 'earlier', assignmentId: 'earlier' },
    hostId: `host-${taskQueue}`,
    generation: 0,
    lease: null,
    searchAttributes: false,
  };
  const usual = stubs([], {
    acquireLease: async () => {
      const { way, calls } = life();
      if (way === 'held') return calls.includes('yieldAssignment') ? noSeed : held;
      return way === 'leased' ? leased : noSeed;
    },
    claimHost: async () => ({ hostId: life().granted++ === 0 ? 'first' : OTHER_HOST }),
    awaitHost: async () => 'over',
    followSession: async () => sessionEnd(life()),
    deliver: async () => report('running'),
  });
  const wrapped = Object.entries(usual).map(([name, step]) => [
    name,
    (argument: unknown) => {
      life().calls.push(name as Step);
      return instead(name as Step, () => (step as AnyStep)(argument));
    },
  ]);
  return Object.fromEntries(wrapped) as Stubs;
}

/** With failures as a worker tells them: of a step that is no host's in particular, another may have what is missing. */
export function asOfWorkers(steps: Stubs): Stubs {
  const anywhere = Object.entries(steps).filter(([name]) => SLOTS_OF[name as Step].queue !== 'host');
  return { ...asActivities(steps), ...asActivities(Object.fromEntries(anywhere), { isAnywhere: true }) };
}

function sessionEnd(life: Life): SessionEnd {
  const isFirst = life.followed++ === 0;
  if (isFirst && life.way === 'lost') throw new TaskError('HostLost', 'the host does not answer');
  if (isFirst && life.way === 'unfit') throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  if (!isFirst || life.way !== 'limited') return ended('completed');
  const resetsAt = new Date(Context.current().info.currentAttemptScheduledTimestampMs).toISOString();
  return { ...ended('completed'), end: { kind: 'limited', turnId: 't1', resetsAt } };
}

export function startLife(
  client: WorkflowClient,
  { taskQueue, workflowId, way }: { taskQueue: string; workflowId: string; way: Way },
): Promise<Handle> {
  const prompt = way === 'large' ? 'x'.repeat(600_000) : 'x';
  const input: CodexTaskInput = { prompt, captureSeed: {} };
  const options = { taskQueue, workflowId, args: [input] as [CodexTaskInput] };
  if (way !== 'message') return client.start(CODEX_TASK, options);
  const message = { messageId: 'm', text: 'more' };
  return client.signalWithStart(CODEX_TASK, { ...options, signal: sendMessageSignal, signalArgs: [message] });
}

/** Its outcome, or the type of what it failed with, and its last warnings. */
export async function endOf(handle: Handle): Promise<{ end: string; warnings: string[] }> {
  const end = await handle.result().then(
    ({ outcome }) => outcome,
    (error: unknown) => {
      if (!(error instanceof WorkflowFailedError)) throw error;
      const { name, type = name } = error.cause as ApplicationFailure;
      return type ?? name;
    },
  );
  const { warnings } = await handle.query(stateQuery);
  return { end, warnings };
}
