import { Context } from '@temporalio/activity';
import { temporal as proto } from '@temporalio/proto';
import { expect, it } from 'vitest';
import { createHostActivities } from '../../src/activities/host.js';
import { idempotentActivities, whenUnwanted } from '../../src/activities/idempotent-activities.js';
import { closeSignal, stateQuery, type SessionReport } from '../../src/contract/index.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle } from './run-task.js';
import { report, stubs, type Stubs, type WorkersOptions } from './stub-host.js';

const temporal = useTemporal(connectLocal);
/** The answer to a heartbeat tells of a pause. A paused step that misses one has no next attempt before its end. */
const beats: WorkersOptions = { steps: { maxHeartbeatThrottleInterval: 200 } };

const pending = async (handle: Handle) => (await handle.describe()).raw.pendingActivities ?? [];
const { PENDING_ACTIVITY_STATE_STARTED: STARTED } = proto.api.enums.v1.PendingActivityState;

/** A step that a worker has: one that is paused before that waits, as its operator wants. */
const pendingOf = async (handle: Handle, type: string) =>
  (await pending(handle)).find(({ activityType, state }) => activityType?.name === type && state === STARTED);

/** What an operator does with `temporal activity pause`. */
async function pause(handle: Handle, id: string): Promise<void> {
  const { client, namespace = 'default' } = temporal.environment;
  const execution = { workflowId: handle.workflowId };
  await client.workflowService.pauseActivity({ namespace, execution, id, identity: 'an operator' });
}

/** The steps of a real host that follow a session and deliver to it. */
function followedHost() {
  let end: (end: object) => void = () => undefined;
  const ended = new Promise<object>((resolve) => (end = resolve));
  const thread = {
    totals: { finalMessage: null },
    turns: { begin: () => undefined, whenEnded: () => ended },
    report: (): SessionReport => report('idle'),
    close: async () => end({ kind: 'closed' }),
  };
  const session = {
    thread,
    superseded: new Promise(() => undefined),
    link: { sessionChanged: () => undefined },
  };
  const live = {
    kind: 'live',
    session,
    prepared: { journal: { lastId: 1 } },
    stopping: new AbortController(),
  };
  const tasks = {
    detached: new AbortController().signal,
    whenLive: () => Promise.resolve(live),
    find: () => live,
    lossOf: () => null,
  };
  const steps = createHostActivities({ tasks, leaseTtlMs: 60_000 } as unknown as HostContext);
  const followSession: Stubs['followSession'] = (ref) => steps.followSession(ref);
  const deliver: Stubs['deliver'] = (delivery) => steps.deliver(delivery);
  return { followSession, deliver };
}

it('continues a task whose session is paused, reports it, and ends at a close', async () => {
  const { calls, result, failure } = await runTaskOn(
    temporal.environment,
    { mode: 'conversation' },
    followedHost(),
    async (handle) => {
      const following = () => pendingOf(handle, 'followSession');
      const { activityId: paused } = await until('its session', following);
      await pause(handle, paused!);
      const { warnings, state } = await until('a word of it', async () => {
        const status = await handle.query(stateQuery);
        return status.warnings.length > 0 && status;
      });
      expect(warnings).toEqual([
        expect.stringMatching(/^activity followSession on host .* was paused in Temporal/),
      ]);
      expect(state).toBe('idle');
      const again = await until('its next step', following);
      expect(again.activityId).not.toBe(paused);
      expect(again.paused).toBe(false);
      // The next pause is not heard of before the task is closed.
      await pause(handle, again.activityId!);
      await handle.signal(closeSignal);
    },
    beats,
  );
  expect(failure).toBeNull();
  expect(result).toMatchObject({ outcome: 'closed' });
  expect(calls).toContain('takeSnapshot');
});

it('completes an activity once that is paused while it runs', async () => {
  const names = ['prepareWorkdir', 'launchAppServer', 'saveCredential', 'takeSnapshot', 'closeTask'] as const;
  const unwanted: boolean[] = [];
  const once = stubs([]);
  const paused = Object.fromEntries(
    names.map((name) => [
      name,
      async (argument: never) => {
        const signal = whenUnwanted();
        const context = Context.current();
        await until('the pause', () => context.cancellationSignal.aborted);
        expect(context.cancellationDetails).toMatchObject({ paused: true });
        unwanted.push(signal.aborted);
        return once[name](argument);
      },
    ]),
  ) as Pick<Stubs, (typeof names)[number]>;
  const { calls, result, failure } = await runTaskOn(
    temporal.environment,
    { prompt: 'x' },
    idempotentActivities(paused),
    async (handle) => {
      for (const name of names) {
        const { activityId } = await until(name, () => pendingOf(handle, name));
        await pause(handle, activityId!);
      }
    },
    beats,
  );
  expect(failure).toBeNull();
  expect(result).toMatchObject({ outcome: 'completed', snapshotId: 'snapshot-1' });
  expect(unwanted).toEqual(names.map(() => false));
  expect(names.map((name) => calls.filter((call) => call === name).length)).toEqual(names.map(() => 1));
});
