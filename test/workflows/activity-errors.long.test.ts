import { randomUUID } from 'node:crypto';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { WorkflowClient } from '@temporalio/client';
import { beforeAll, describe, expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { startTimeSkipping } from '../support/temporal.js';
import { useTemporal } from './run-task.js';
import {
  asOfWorkers,
  endOf,
  newLife,
  startLife,
  stepsOfLives,
  TABLED,
  WAY_TO,
  type Life,
  type Step,
  type TabledStep,
} from './activity-scenes.js';
import { freshQueue, withWorkers } from './stub-host.js';

// In skipped time: what is given up is given up after minutes.
const temporal = useTemporal(startTimeSkipping);

const MINUTE_MS = 60_000;
/** Longer than anything is tried that fails for a reason nobody knows. */
const OUTAGE_MS = 5.5 * MINUTE_MS;

const withCode = (code: string) => () => Object.assign(new Error(`${code}: trouble`), { code });

interface Trouble {
  error: (step: string) => Error;
  /** `all`: on the first host, and a minute of a step that any worker can do; `minutes`: on each. */
  lasts: number | 'all' | 'minutes';
}

/** What a step fails with, and how often. */
const TROUBLES = {
  /** Nobody knows whether it passes; it does. */
  passes: { error: withCode('EROFS'), lasts: 2 },
  /** The same, and it does not. */
  lasts: { error: withCode('EROFS'), lasts: 'all' },
  /** The database is away for minutes. */
  outage: { error: withCode('ECONNREFUSED'), lasts: 'minutes' },
  /** Something is not there on that host. */
  missing: { error: withCode('ENOENT'), lasts: 'all' },
  /** A mistake in the code. */
  mistake: { error: () => new TypeError('x is not a function'), lasts: 'all' },
  /** The worker runs a version without the step. */
  unregistered: {
    error: (step) =>
      ApplicationFailure.create({
        type: 'NotFoundError',
        message: `Activity function ${step} is not registered on this Worker`,
      }),
    lasts: 'all',
  },
  /** A code with which trying again does not help. */
  refused: { error: () => new TaskError('BadInput', 'no'), lasts: 'all' },
  lost: { error: () => new TaskError('HostLost', 'the host is gone'), lasts: 'all' },
} satisfies Record<string, Trouble>;
type TroubleKind = keyof typeof TROUBLES;
const KINDS = Object.keys(TROUBLES) as TroubleKind[];

/**
 * What becomes of the task. `same`: what becomes of one without trouble. `moves`: it goes on at another host. `warns`:
 * it ends as it would have, with a warning. `evicts`: the host is asked to
 * let it go. `-`: the step is no host's in particular. Otherwise what it fails with.
 */
type Outcome = 'same' | 'moves' | 'warns' | 'evicts' | '-' | 'HostUnfit' | 'BadInput' | 'HostLost';

type Row = Record<TroubleKind, Outcome>;

/** A step that begins an assignment, which another host can do as well. */
const begins = {
  passes: 'same',
  lasts: 'moves',
  outage: 'same',
  missing: 'moves',
  mistake: 'HostUnfit',
  unregistered: 'moves',
  refused: 'BadInput',
  lost: 'moves',
} as const satisfies Row;

/** A step of a task's end, which costs no task what it has. */
const ends = {
  passes: 'same',
  lasts: 'warns',
  outage: 'same',
  missing: 'warns',
  mistake: 'warns',
  unregistered: 'warns',
  refused: 'warns',
  lost: 'warns',
} as const satisfies Row;

/** A step that any worker can do. */
const shared = {
  passes: 'same',
  lasts: 'same',
  outage: 'same',
  missing: 'same',
  mistake: 'HostUnfit',
  unregistered: 'same',
  refused: 'BadInput',
  lost: '-',
} as const satisfies Row;

const STEPS: Record<TabledStep, Row> = {
  acquireLease: shared,
  releaseLease: { ...ends, lost: '-', missing: 'same', unregistered: 'same' },
  fenceHost: shared,
  awaitHost: shared,
  evictTask: shared,
  claimHost: shared,
  prepareWorkdir: begins,
  launchAppServer: begins,
  openListener: begins,
  followSession: begins,
  deliver: begins,
  parkTask: begins,
  unparkTask: begins,
  yieldAssignment: {
    passes: 'same',
    lasts: 'evicts',
    outage: 'same',
    missing: 'evicts',
    mistake: 'evicts',
    unregistered: 'evicts',
    refused: 'evicts',
    lost: 'evicts',
  },
  endSession: ends,
  saveCredential: ends,
  captureSeed: ends,
  takeSnapshot: ends,
  closeTask: ends,
  keepText: shared,
  // Nobody misses what it leaves: a purge finds it.
  dropTexts: { ...shared, mistake: 'same', refused: 'same' },
};

interface Case {
  step: TabledStep;
  kind: TroubleKind;
  outcome: Outcome;
}

const CASES: Case[] = TABLED.flatMap((step) =>
  KINDS.map((kind) => ({ step, kind, outcome: STEPS[step][kind] })).filter(({ outcome }) => outcome !== '-'),
);

/** One task, and what became of it. */
interface Run extends Case {
  life: Life;
  attempts: number;
  firstAt: number;
  end: string;
  warnings: string[];
}

const runs = new Map<string, Run>();
const lives = new Map<string, Life>();
const AT_ONCE = 8;

function troubled(step: Step, usual: () => Promise<unknown>): Promise<unknown> {
  const { info } = Context.current();
  const run = runs.get(info.workflowExecution!.workflowId)!;
  if (step !== run.step || info.taskQueue.endsWith('-other')) return usual();
  const { error, lasts }: Trouble = TROUBLES[run.kind];
  const now = info.currentAttemptScheduledTimestampMs;
  run.firstAt ||= now;
  const isOnHost = info.taskQueue.startsWith('codex-host.');
  const isOver = now - run.firstAt >= (run.kind === 'outage' ? OUTAGE_MS : MINUTE_MS);
  const passes = lasts === 'minutes' || !(isOnHost || (step === 'releaseLease' && run.kind === 'lasts'));
  if (typeof lasts === 'number' ? run.attempts >= lasts : passes && isOver) return usual();
  run.attempts++;
  return Promise.reject(error(step));
}

beforeAll(async () => {
  const { connection, namespace } = temporal.environment;
  // It is told to skip time once for all: for each result it may be told only once at a time.
  const client = new WorkflowClient({ connection, ...(namespace && { namespace }) });
  const { testService } = connection as unknown as {
    testService: { unlockTimeSkipping(request: object): Promise<unknown> };
  };
  const taskQueue = freshQueue();
  const steps = asOfWorkers(stepsOfLives(taskQueue, lives, troubled));
  const waiting = [...CASES];
  const runNext = async (): Promise<void> => {
    for (let each = waiting.shift(); each; each = waiting.shift()) {
      const workflowId = `${each.step}-${each.kind}-${randomUUID()}`;
      const run: Run = {
        ...each,
        life: newLife(WAY_TO[each.step]),
        attempts: 0,
        firstAt: 0,
        end: '',
        warnings: [],
      };
      runs.set(workflowId, run).set(`${each.step}.${each.kind}`, run);
      lives.set(workflowId, run.life);
      const handle = await startLife(client, { taskQueue, workflowId, way: WAY_TO[each.step] });
      Object.assign(run, await endOf(handle));
    }
  };
  await withWorkers(
    temporal.environment,
    steps,
    async () => {
      await testService.unlockTimeSkipping({});
      await Promise.all(Array.from({ length: AT_ONCE }, runNext));
    },
    { taskQueue },
  );
}, 400_000);

/** What became of the task. */
function became({ end, life, warnings }: Run): string {
  if (end !== 'completed') return end;
  const { way, granted, calls } = life;
  const hosts = way === 'lost' || way === 'unfit' ? 2 : 1;
  if (granted > hosts) return 'moves';
  if (way !== 'unfit' && calls.includes('evictTask')) return 'evicts';
  const own = warnings.filter((line) => !line.startsWith(`Host host-`) || way !== 'unfit');
  return own.length > 0 ? 'warns' : 'same';
}

describe.each(KINDS)('an activity that fails with an error of kind %s', (kind) => {
  it.each(CASES.filter((each) => each.kind === kind))('$step: $outcome', ({ step, outcome }) => {
    const run = runs.get(`${step}.${kind}`)!;
    const { life, attempts, warnings, end } = run;
    expect({
      became: became(run),
      warnings,
      end,
      attempts,
      granted: life.granted,
      calls: life.calls.length < 60 ? life.calls : life.calls.length,
    }).toMatchObject({ became: outcome });
    expect(attempts).toBeGreaterThan(0);
    // Nothing is tried in a hot loop.
    expect(attempts).toBeLessThan(400);
  });
});
