import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { beforeAll, describe, expect, it } from 'vitest';
import { closeSignal, stateQuery } from '../../src/contract/index.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
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

// In real time: the server that skips time mixes up a cancel that meets a completion.
const temporal = useTemporal(connectLocal);

const ACTS = ['cancelled', 'closed'] as const;
type Act = (typeof ACTS)[number];

/** How the task ends, and what it does after the step, one name after another. */
type Row = Record<Act, string>;

const STEPS: Record<TabledStep, Row> = {
  acquireLease: {
    cancelled: 'CancelledFailure releaseLease',
    closed: 'closed releaseLease',
  },
  releaseLease: {
    cancelled: 'completed takeSnapshot closeTask',
    closed: 'completed takeSnapshot closeTask',
  },
  fenceHost: {
    cancelled: 'CancelledFailure closeTask',
    closed: 'closed closeTask',
  },
  awaitHost: {
    cancelled: 'CancelledFailure',
    closed: 'closed awaitHost',
  },
  evictTask: {
    cancelled: 'CancelledFailure',
    closed: 'closed',
  },
  claimHost: {
    cancelled: 'CancelledFailure closeTask releaseLease',
    closed: 'closed closeTask releaseLease',
  },
  prepareWorkdir: {
    cancelled: 'CancelledFailure endSession saveCredential releaseLease closeTask',
    closed: 'closed endSession saveCredential releaseLease closeTask',
  },
  launchAppServer: {
    cancelled: 'CancelledFailure endSession saveCredential releaseLease closeTask',
    closed:
      'completed openListener deliver followSession endSession saveCredential captureSeed releaseLease takeSnapshot closeTask',
  },
  openListener: {
    cancelled: 'CancelledFailure endSession saveCredential captureSeed releaseLease takeSnapshot closeTask',
    closed:
      'completed deliver followSession endSession saveCredential captureSeed releaseLease takeSnapshot closeTask',
  },
  followSession: {
    cancelled: 'CancelledFailure endSession saveCredential captureSeed releaseLease takeSnapshot closeTask',
    closed: 'completed deliver endSession saveCredential captureSeed releaseLease takeSnapshot closeTask',
  },
  deliver: {
    cancelled: 'CancelledFailure endSession captureSeed takeSnapshot closeTask',
    closed: 'completed followSession deliver endSession captureSeed takeSnapshot closeTask',
  },
  parkTask: {
    cancelled: 'CancelledFailure endSession captureSeed takeSnapshot closeTask',
    closed: 'closed endSession captureSeed takeSnapshot closeTask',
  },
  unparkTask: {
    cancelled: 'CancelledFailure endSession captureSeed takeSnapshot closeTask',
    closed:
      'completed launchAppServer openListener deliver followSession endSession captureSeed takeSnapshot closeTask',
  },
  yieldAssignment: {
    cancelled: 'CancelledFailure',
    closed: 'closed',
  },
  endSession: {
    cancelled: 'completed saveCredential captureSeed releaseLease takeSnapshot closeTask',
    closed: 'completed saveCredential captureSeed releaseLease takeSnapshot closeTask',
  },
  saveCredential: {
    cancelled: 'completed captureSeed releaseLease takeSnapshot closeTask',
    closed: 'completed captureSeed releaseLease takeSnapshot closeTask',
  },
  captureSeed: {
    cancelled: 'completed releaseLease takeSnapshot closeTask',
    closed: 'completed releaseLease takeSnapshot closeTask',
  },
  takeSnapshot: {
    cancelled: 'completed closeTask',
    closed: 'completed closeTask',
  },
  closeTask: {
    cancelled: 'completed',
    closed: 'completed',
  },
  keepText: {
    cancelled: 'CancelledFailure endSession closeTask',
    closed: 'closed keepText keepText keepText prepareWorkdir endSession closeTask dropTexts',
  },
  dropTexts: {
    cancelled: 'completed',
    closed: 'completed',
  },
};

/** What happens to one task while exactly that step runs. */
interface Run {
  step: TabledStep;
  act: Act;
  life: Life;
  isThere: boolean;
  goesOn: () => void;
  whenActed: Promise<void>;
  became: string;
}

const runs = new Map<string, Run>();
const lives = new Map<string, Life>();
const CASES = TABLED.flatMap((step) => ACTS.map((act) => ({ step, act })));
const AT_ONCE = 8;
const LONGEST_MS = 180_000;

async function held(step: Step, usual: () => Promise<unknown>): Promise<unknown> {
  const run = runs.get(Context.current().info.workflowExecution!.workflowId)!;
  // Of a step that was lost on its way to a worker the workflow asks as well: its host lives.
  if (step === 'awaitHost' && WAY_TO[run.step] !== 'lost') return 'renewed';
  if (step !== run.step || run.isThere) return usual();
  run.isThere = true;
  // It hears of no cancellation, and succeeds after it.
  const beat = setInterval(() => Context.current().heartbeat(), 500);
  try {
    await run.whenActed;
    return await usual();
  } finally {
    clearInterval(beat);
  }
}

beforeAll(async () => {
  const client = temporal.environment.client.workflow;
  const taskQueue = freshQueue();
  const waiting = [...CASES];
  const runNext = async (): Promise<void> => {
    for (let each = waiting.shift(); each; each = waiting.shift()) {
      const { step, act } = each;
      const way = WAY_TO[step];
      const workflowId = `${step}-${act}-${randomUUID()}`;
      let goesOn: () => void = () => undefined;
      const whenActed = new Promise<void>((resolve) => (goesOn = resolve));
      const run: Run = {
        ...each,
        life: newLife(way),
        isThere: false,
        goesOn,
        whenActed,
        became: '',
      };
      runs.set(workflowId, run).set(`${step}.${act}`, run);
      lives.set(workflowId, run.life);
      const handle = await startLife(client, { taskQueue, workflowId, way });
      // A step that was handed out and never came is tried again after a minute.
      await until(`${step} of a task that is ${act}: ${way}`, () => run.isThere, LONGEST_MS);
      const before = run.life.calls.length;
      await (act === 'cancelled' ? handle.cancel() : handle.signal(closeSignal));
      // A query is answered once the task knows of it.
      await handle.query(stateQuery);
      run.goesOn();
      const { end } = await endOf(handle);
      const after = run.life.calls.slice(before);
      run.became = [end, ...after.filter((name) => name !== 'awaitHost' || way === 'lost')].join(' ');
    }
  };
  await withWorkers(
    temporal.environment,
    asOfWorkers(stepsOfLives(taskQueue, lives, held)),
    () =>
      Promise.all(Array.from({ length: AT_ONCE }, runNext)).finally(() => {
        // What is held would keep its worker from ending.
        for (const run of runs.values()) run.goesOn();
      }),
    { taskQueue },
  );
}, 600_000);

/** Two steps that may be under way at the same time. */
const inOneOrder = (became: string) => became.replace('deliver followSession', 'followSession deliver');

describe.each(ACTS)('a task that is %s', (act) => {
  it.each(CASES.filter((each) => each.act === act))(
    'releases what the task holds when it happens during $step',
    ({ step }) => {
      expect(inOneOrder(runs.get(`${step}.${act}`)!.became)).toBe(inOneOrder(STEPS[step][act]));
    },
  );
});
