import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { temporal as proto } from '@temporalio/proto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { attemptOfStep } from '../../src/activities/idempotent-activities.js';
import { CODEX_TASK, sendMessageSignal, type CodexTaskInput } from '../../src/contract/index.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import type { Handle } from './run-task.js';
import { ended, report, stubs, untilCancelled, withWorkers, type Stubs } from './stub-host.js';

let temporal: TestTemporal;

beforeAll(async () => {
  quietRuntime();
  temporal = await connectLocal();
});
afterAll(() => temporal.close());

const { TimeoutType } = proto.api.enums.v1;

/** Each is done in a task that is parked once and sent a message. */
const STEPS = [
  'acquireLease',
  'claimHost',
  'prepareWorkdir',
  'launchAppServer',
  'openListener',
  'deliver',
  'parkTask',
  'unparkTask',
  'endSession',
  'saveCredential',
  'captureSeed',
  'releaseLease',
  'takeSnapshot',
  'closeTask',
] as const satisfies (keyof Stubs)[];

interface Assignment {
  /** The step whose first call is lost. */
  loses: string | null;
  follows: number;
  readonly delivered: Gate;
}

interface Gate {
  readonly passed: Promise<void>;
  readonly open: () => void;
}

function gate(): Gate {
  let open = () => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

/**
 * Steps that end at once, but for the first call of the one that a task's id begins with: nothing is heard of it
 * until `over`, as when it was handed to a worker whose wire is cut.
 */
function losingSteps(over: Promise<void>): Stubs {
  const assignments = new Map<string, Assignment>();
  const assignmentOf = () => {
    const { workflowId } = Context.current().info.workflowExecution!;
    const loses = workflowId.slice(0, workflowId.indexOf('-'));
    const assignment = assignments.get(workflowId) ?? { loses, follows: 0, delivered: gate() };
    assignments.set(workflowId, assignment);
    return assignment;
  };
  const steps = stubs([], {
    followSession: async () => {
      const assignment = assignmentOf();
      const end = { kind: 'limited' as const, turnId: 'u', resetsAt: new Date().toISOString() };
      if (++assignment.follows === 1) return { ...ended('completed'), end };
      await Promise.race([assignment.delivered.passed, untilCancelled()]);
      return ended('completed');
    },
    deliver: async () => {
      assignmentOf().delivered.open();
      return report('running');
    },
  });
  const all = steps as unknown as Record<string, (argument: unknown) => Promise<unknown>>;
  const losing = STEPS.map((name) => {
    const lose = async (argument: unknown) => {
      const assignment = assignmentOf();
      if (assignment.loses === name) {
        assignment.loses = null;
        await over;
      }
      return all[name]!(argument);
    };
    return [name, lose];
  });
  return { ...steps, ...(Object.fromEntries(losing) as Partial<Stubs>) };
}

/** How the step of this name was begun at last: its attempt, and what ended the one before. */
async function beginOf(handle: Handle, name: string) {
  const { events } = await handle.fetchHistory();
  const lost = events!.find(
    ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name === name,
  );
  const begin = events!
    .map(({ activityTaskStartedEventAttributes }) => activityTaskStartedEventAttributes)
    .find((each) => each && Number(each.scheduledEventId) === Number(lost?.eventId));
  return { attempt: begin?.attempt, timeout: begin?.lastFailure?.timeoutFailureInfo?.timeoutType };
}

it('retries each activity that was dispatched and never heartbeat', async () => {
  const input: CodexTaskInput = { mode: 'conversation', prompt: 'x', captureSeed: {} };
  const over = gate();
  await withWorkers(temporal.environment, losingSteps(over.passed), async (taskQueue) => {
    try {
      const tasks = STEPS.map(async (name) => {
        const handle: Handle = await temporal.environment.client.workflow.start(CODEX_TASK, {
          taskQueue,
          workflowId: `${name}-${randomUUID()}`,
          args: [input],
        });
        await handle.signal(sendMessageSignal, { messageId: 'm', text: 'more' });
        const { outcome } = await handle.result();
        const { attempt, timeout } = await beginOf(handle, name);
        // On a busy machine the next one may be late for its first heartbeat too.
        return [name, { outcome, isRetried: attempt! > 1, timeout }];
      });
      const retried = { outcome: 'completed', isRetried: true, timeout: TimeoutType.TIMEOUT_TYPE_HEARTBEAT };
      expect(Object.fromEntries(await Promise.all(tasks))).toEqual(
        Object.fromEntries(STEPS.map((name) => [name, retried])),
      );
    } finally {
      over.open();
    }
  });
}, 180_000);

it('orders attempts and activities by the time for which each was scheduled', async () => {
  const asked: ReturnType<typeof attemptOfStep>[] = [];
  const acquireLease: Stubs['acquireLease'] = () => {
    asked.push(attemptOfStep());
    if (asked.length < 3) return Promise.reject(new Error('not yet'));
    return Promise.resolve({ kind: asked.length === 3 ? 'busy' : 'no-seed', searchAttributes: false });
  };
  const followSession = () => Promise.resolve(ended('completed'));
  const steps = stubs([], { acquireLease, followSession });
  await withWorkers(temporal.environment, steps, async (taskQueue) => {
    const workflowId = randomUUID();
    const input: CodexTaskInput = { prompt: 'x' };
    await temporal.environment.client.workflow.execute(CODEX_TASK, { taskQueue, workflowId, args: [input] });
  });
  const times = asked.map(({ at }) => at.getTime());
  expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  const [first, second, third, next] = asked.map(({ step }) => step);
  expect([second, third]).toEqual([first, first]);
  expect(next).not.toBe(first);
});
