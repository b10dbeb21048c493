import { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import * as v from 'valibot';
import { beforeAll, describe, expect, it } from 'vitest';
import { NO_USAGE } from '../../src/contract/index.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { newAssignment } from '../../src/workflows/assignment.js';
import { VERSION_1 } from '../../src/workflows/carried-version-1.js';
import { CARRIED_VERSION } from '../../src/workflows/task-state.js';
import { workflowBundle } from '../support/built-package.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { savedHistories } from './histories.js';

/** What stands in both versions. */
const same = {
  version: 1,
  from: 'run-1',
  spec: parseTaskInput({ prompt: 'x' }, 't'),
  startedAtMs: 1,
  phase: 'running',
  status: {
    state: 'running',
    taskId: 't',
    threadId: 'thread-1',
    host: 'h',
    listener: null,
    model: null,
    seedId: 's',
    quarantineId: null,
    pending: [],
    turns: 0,
    usage: NO_USAGE,
    controls: [],
    decidedByRule: { allow: 0, deny: 0 },
    warnings: [],
  },
  result: { finalMessage: null },
  searchAttributes: ['CodexState'],
  lastEventId: 7,
  refusals: [{ hostId: 'g', reason: 'disk' }],
  closing: false,
  ending: null,
  refreshing: false,
  keptSpec: null,
  keptInput: null,
  outbox: { waiting: [], closeSent: false, seen: ['m1'] },
  hookRequests: { seen: [], waiting: [], deliverables: [], omitted: 0 },
  permissions: { open: [], settled: ['r1'], early: [] },
};
const lease = { seedId: 's', holder: 't/r/a1', leaseEpoch: 3 };
const moved = { from: 'g', generation: 1, lastEventId: 5, requests: ['r0'] };

/** A record of version 1: facts of the assignment stand beside it. */
const version1 = {
  ...same,
  assignment: {
    assignmentId: 'a1',
    place: { hostId: 'h', lease, ttlMs: 60_000 },
    stage: 'live',
    isLost: true,
    unfit: 'disk',
  },
  assignmentId: 'a1',
  codexStarted: true,
  activity: 'running',
  newest: { assignmentId: 'a1', revision: 12 },
  hostRestarts: 2,
  expectedBackAt: 9,
  evicted: true,
  shown: { state: 'running' },
  moved,
  waitsSinceMs: 4,
  vain: 1,
  reachedBeforeExecute: true,
  seedTold: false,
};
const renamed = {
  publishedAttributes: { state: 'running' },
  previousHost: moved,
  waitingForCredentialSinceMs: 4,
  triesInVain: 1,
  beforeExecuteDone: true,
  seedSavedDone: false,
};

describe('the carried state of a version 1 worker', () => {
  it('keeps all that it has of the assignment', () => {
    expect(v.parse(VERSION_1, version1)).toEqual({
      ...same,
      ...renamed,
      rules: { revision: 0, rules: [] },
      isEnding: false,
      assignment: {
        assignmentId: 'a1',
        hostId: 'h',
        lease,
        ttlMs: 60_000,
        stage: 'live',
        isLost: true,
        unfit: 'disk',
        codexStarted: true,
        activity: 'running',
        lastRevision: 12,
        hostRestarts: 2,
        expectedBackAt: 9,
        lastRetryAt: 0,
        evicted: true,
      },
    });
  });

  it('looks for a host when it has none, and takes no earlier report', () => {
    const waiting = { ...version1, assignment: null, assignmentId: 'a2' };
    expect(v.parse(VERSION_1, waiting)).toMatchObject({
      assignment: { ...newAssignment('a2'), activity: 'running' },
    });
  });

  it('is ending when the task had ended', () => {
    expect(v.parse(VERSION_1, { ...version1, ending: { outcome: 'completed' } })).toMatchObject({
      isEnding: true,
      ending: { outcome: 'completed' },
    });
  });

  it('is refused when a part is missing', () => {
    const { evicted: _, ...rest } = version1;
    expect(v.safeParse(VERSION_1, rest).issues?.[0].path?.[0].key).toBe('evicted');
  });
});

describe('the next run', () => {
  let failureWith: (change: (carried: object) => object) => Promise<Error | undefined>;
  beforeAll(async () => {
    quietRuntime();
    const options = { workflowBundle: await workflowBundle(), debugMode: true };
    const saved = (await savedHistories()).find(({ name }) => name === 'continued-last-run')!;
    failureWith = async (change) => {
      const { History } = temporal.api.history.v1;
      const history = History.decode(History.encode(saved.history).finish());
      const payloads = history.events[0]!.workflowExecutionStartedEventAttributes!.input!.payloads!;
      const carried = JSON.parse(Buffer.from(payloads[1]!.data!).toString()) as object;
      payloads[1]!.data = Buffer.from(JSON.stringify(change(carried)));
      for await (const { error } of Worker.runReplayHistories(options, [{ workflowId: 't', history }]))
        return error;
      throw new Error('nothing was replayed');
    };
  });

  it('reads version 1 and its own version alike', async () => {
    expect(await failureWith((carried) => carried)).toBeUndefined();
    const own = (carried: object) => ({ ...v.parse(VERSION_1, carried), version: CARRIED_VERSION });
    expect(await failureWith(own)).toBeUndefined();
  });

  it('fails its workflow task on a worker that does not know the newer version', async () => {
    const newer = CARRIED_VERSION + 1;
    const failure = await failureWith((carried) => ({ ...carried, version: newer }));
    expect(failure?.message).toContain(`was of version ${newer}`);
  });
});
