import { Context } from '@temporalio/activity';
import { describe, expect, it } from 'vitest';
import {
  closeSignal,
  hookRequestedSignal,
  decidePermissionUpdate,
  taskEvictedSignal,
  hostRestartedSignal,
  permissionRequestedSignal,
  sendMessageSignal,
  setRulesSignal,
  stateQuery,
  type PermissionRequest,
} from '../../src/contract/index.js';
import { TaskError } from '../../src/errors.js';
import type { HostSight, PrepareArguments, RulesInForce } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { open, runTaskOn, useTemporal, type Handle } from './run-task.js';
import { ended, OTHER_HOST, report, untilCancelled, type Stubs } from './stub-host.js';

// In real time: the time-skipping server mixes up a cancel that meets a completion.
const temporal = useTemporal(connectLocal);

const gone = () => {
  throw new TaskError('HostLost', 'the host does not answer');
};
const isOther = () => Context.current().info.taskQueue.endsWith('-other');

/** Two hosts: the second is claimed after the first. What runs on the first only is given by `onFirst`. */
function twoHosts(onFirst: () => Promise<never> | ReturnType<Stubs['followSession']>) {
  const prepared: PrepareArguments[] = [];
  let claims = 0;
  let epoch = 0;
  return {
    prepared,
    steps: {
      claimHost: async () => ({ hostId: claims++ === 0 ? 'first' : OTHER_HOST }),
      acquireLease: async () => ({
        kind: 'leased',
        lease: { seedId: 's', holder: 'h', leaseEpoch: ++epoch },
        searchAttributes: false,
      }),
      prepareWorkdir: async (args: PrepareArguments) => void prepared.push(args),
      followSession: () => (isOther() ? Promise.resolve(ended('completed')) : onFirst()),
    } satisfies Partial<Stubs>,
  };
}

const run = (input: object, steps: Partial<Stubs>, during?: (handle: Handle) => Promise<void>) =>
  runTaskOn(temporal.environment, input, steps, during);

/** What a look sees of a host that has not renewed its right yet. */
const ALIVE = { isAlive: true, expiresAtMs: 1, endsInMs: 1_000 };
/** Whether a look asks for the return of a host whose right was over. */
const isLost = (since?: HostSight) => since?.expiresAtMs === 0;

const without = (calls: string[], ...names: string[]) => calls.filter((name) => !names.includes(name));

const request: PermissionRequest = {
  requestId: '1-0',
  kind: 'command',
  summary: 'Run ls',
  input: {},
  openedAt: new Date().toISOString(),
};

describe('a task whose host is lost', () => {
  it('gives the next host the rules that it was given on the first, with a newer revision', async () => {
    const rule = { ruleId: 'a', rule: { kind: 'command' as const, then: 'allow' as const } };
    const told: RulesInForce[] = [];
    let lose: () => void = () => undefined;
    const lost = new Promise<void>((resolve) => (lose = resolve));
    const { steps } = twoHosts(() => lost.then(gone));
    const deliver: Stubs['deliver'] = async ({ rules = [] }) => {
      told.push(...rules);
      if (!isOther()) lose();
      return report('running');
    };
    const { result } = await run({ prompt: 'x' }, { ...steps, deliver }, async (handle) => {
      await handle.signal(setRulesSignal, { add: [rule] });
    });
    expect(result?.outcome).toBe('completed');
    expect(told.map(({ rules }) => rules)).toEqual([[rule], [rule]]);
    expect(told[1]!.revision).toBeGreaterThan(told[0]!.revision);
  });

  it('moves once that host’s lease is over, with a lease of its own', async () => {
    const { prepared, steps } = twoHosts(async () => gone());
    const { calls, result } = await run({ prompt: 'x' }, steps);
    expect(result?.outcome).toBe('completed');
    expect(calls).toContain('awaitHost');
    expect(without(calls, 'awaitHost')).toEqual([
      'acquireLease',
      'claimHost',
      'prepareWorkdir',
      'launchAppServer',
      'openListener',
      'followSession',
      'claimHost',
      'fenceHost',
      'acquireLease',
      'prepareWorkdir',
      'launchAppServer',
      'openListener',
      'followSession',
      'endSession',
      'saveCredential',
      'releaseLease',
      'takeSnapshot',
      'closeTask',
    ]);
    expect(prepared.map(({ lease }) => lease?.leaseEpoch)).toEqual([1, 2]);
    expect(prepared[0]?.moved).toBeUndefined();
    expect(prepared[1]?.moved).toMatchObject({ generation: 1, lastEventId: 0, requests: [] });
  });

  it('is neither claimed nor fenced elsewhere while that host’s lease lasts', async () => {
    let isOver = false;
    const { steps } = twoHosts(async () => gone());
    const { calls } = await run(
      { prompt: 'x' },
      {
        ...steps,
        awaitHost: async () => (isOver ? 'over' : ALIVE),
      },
      async (handle) => {
        await until('recovering', async () => (await handle.query(stateQuery)).state === 'recovering');
        expect((await handle.query(stateQuery)).state).toBe('recovering');
        isOver = true;
      },
    );
    expect(calls.indexOf('awaitHost')).toBeLessThan(calls.lastIndexOf('claimHost'));
  });

  it('stays on that host when it returns in time', async () => {
    let follows = 0;
    const { steps, prepared } = twoHosts(async () => (++follows === 1 ? gone() : ended('completed')));
    const { calls, result } = await run(
      { prompt: 'x' },
      { ...steps, awaitHost: async () => ALIVE },
      async (handle) => {
        const { host } = await until('recovering', async () => {
          const status = await handle.query(stateQuery);
          return status.state === 'recovering' && status;
        });
        await handle.signal(hostRestartedSignal, { hostId: host! });
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(prepared).toHaveLength(1);
    expect(calls.filter((name) => name === 'claimHost')).toHaveLength(1);
  });

  it('stays on that host when it returns before another takes the task', async () => {
    let follows = 0;
    const closed: boolean[] = [];
    const { steps, prepared } = twoHosts(async () => (++follows === 1 ? gone() : ended('completed')));
    const closeTask = async () => void closed.push(isOther());
    const { calls, result } = await run(
      { prompt: 'x' },
      { ...steps, closeTask, fenceHost: async () => 'held' },
    );
    expect(result?.outcome).toBe('completed');
    expect(prepared).toHaveLength(1);
    expect(calls.filter((name) => name === 'acquireLease')).toHaveLength(1);
    expect(closed).toEqual([true, false]);
  });

  it('stays on that host when it returns while all other hosts are full', async () => {
    let follows = 0;
    let claims = 0;
    const { steps, prepared } = twoHosts(async () => (++follows === 1 ? gone() : ended('completed')));
    const { result } = await run(
      { prompt: 'x' },
      {
        ...steps,
        claimHost: async () => (claims++ === 0 ? { hostId: 'first' } : untilCancelled()),
        awaitHost: async ({ since }) => (isLost(since) ? 'renewed' : 'over'),
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(prepared).toHaveLength(1);
  });

  it('asks a live host once more, and evicts itself there when it stays silent', async () => {
    const { steps, prepared } = twoHosts(async () => gone());
    const { calls, result } = await run({ prompt: 'x' }, { ...steps, awaitHost: async () => 'renewed' });
    expect(result?.outcome).toBe('completed');
    expect(calls.slice(5, 12)).toEqual([
      'followSession',
      'awaitHost',
      'followSession',
      'awaitHost',
      'evictTask',
      'claimHost',
      'acquireLease',
    ]);
    expect(prepared[1]?.moved?.generation).toBe(1);
  });

  it('ends on that host when it is closed meanwhile, and is not evicted', async () => {
    let follows = 0;
    let isClosed = false;
    const { steps } = twoHosts(async () => (++follows < 3 ? gone() : ended('closed')));
    let renewals = 0;
    const { result, calls } = await run(
      { mode: 'conversation' },
      {
        ...steps,
        awaitHost: async () => {
          // Closed before it is known that the host did not do the step again.
          if (++renewals === 2) await until('its close', () => isClosed);
          return 'renewed';
        },
      },
      async (handle) => {
        await until('its second failure', () => renewals === 2);
        await handle.signal(closeSignal);
        isClosed = true;
      },
    );
    expect(result).toMatchObject({ outcome: 'closed', snapshotId: 'snapshot-1' });
    expect(calls).not.toContain('evictTask');
    expect(calls.slice(-2)).toEqual(['takeSnapshot', 'closeTask']);
  });

  it('takes along undelivered messages and hook requests, and closes permissions', async () => {
    const delivered: string[] = [];
    let asked: Handle | null = null;
    const { steps, prepared } = twoHosts(async () => {
      await until('the handle', () => asked);
      await asked!.signal(hookRequestedSignal, { id: 'e-2', kind: 'upload', path: 'b', bytes: 1 });
      await asked!.signal(hookRequestedSignal, {
        id: 'e-1',
        kind: 'callerMessage',
        keyword: 'k',
        message: 1,
      });
      await asked!.signal(permissionRequestedSignal, request);
      return untilCancelled();
    });
    const { result } = await run(
      {
        mode: 'conversation',
        hooks: { onCallerMessage: { taskQueue: 'nobody-polls-this', activityType: 'a' } },
      },
      {
        ...steps,
        followSession: async () => {
          if (!isOther()) return steps.followSession();
          await until('the message', () => delivered.length > 0);
          return ended('closed');
        },
        deliver: async ({ messages }) => {
          if (!isOther()) return messages.length > 0 ? gone() : report('running');
          delivered.push(...messages.map(({ messageId }) => messageId));
          return report('running');
        },
      },
      async (handle) => {
        asked = handle;
        await open(handle);
        await handle.signal(sendMessageSignal, { messageId: 'm', text: 'hi' });
        await until('the move', () => prepared.length === 2);
        await open(handle, 0);
        const late = handle.executeUpdate(decidePermissionUpdate, {
          args: [{ requestId: '1-0', behavior: 'allow' }],
        });
        await expect(late).rejects.toMatchObject({
          cause: { message: expect.stringMatching(/settled/) as string },
        });
      },
    );
    expect(result?.outcome).toBe('closed');
    expect(delivered).toEqual(['m']);
    expect(prepared[1]?.moved).toMatchObject({
      requests: ['1-0'],
      hookRequests: { open: ['e-1'], settled: ['e-2'] },
    });
  });

  it('tells the next host the event id of its last heartbeat', async () => {
    const { steps, prepared } = twoHosts(async () => {
      Context.current().heartbeat({ lastEventId: 57 });
      return Context.current().cancelled;
    });
    await run(
      { prompt: 'x', credential: { none: true } },
      {
        ...steps,
        claimHost: async () => ({ ...(await steps.claimHost()), ttlMs: 2_000 }),
        acquireLease: async () => ({ kind: 'no-seed', searchAttributes: false }),
      },
    );
    expect(prepared[1]?.moved?.lastEventId).toBe(57);
  });

  it('can be closed while it waits for another host', async () => {
    let claims = 0;
    const { steps } = twoHosts(async () => gone());
    const { result, calls } = await run(
      { prompt: 'x' },
      {
        ...steps,
        claimHost: async () => (claims++ === 0 ? { hostId: 'first' } : untilCancelled()),
      },
      async (handle) => {
        await until('its wait for another', () => claims === 2);
        await handle.signal(closeSignal);
      },
    );
    expect(result?.outcome).toBe('closed');
    expect(calls).not.toContain('fenceHost');
    expect(calls).not.toContain('takeSnapshot');
  });

  it('tears down on the returned host when it is closed before it saw the return', async () => {
    let claims = 0;
    let isBack = false;
    const { steps } = twoHosts(async () => (isBack ? ended('closed') : gone()));
    const { result, calls } = await run(
      { mode: 'conversation' },
      {
        ...steps,
        claimHost: async () => (claims++ === 0 ? { hostId: 'first' } : untilCancelled()),
        awaitHost: async () => (isBack ? 'renewed' : 'over'),
      },
      async (handle) => {
        await until('its wait for another', () => claims === 2);
        isBack = true;
        await handle.signal(closeSignal);
      },
    );
    expect(result).toMatchObject({ outcome: 'closed', snapshotId: 'snapshot-1' });
    expect(calls).not.toContain('fenceHost');
    expect(calls.slice(-2)).toEqual(['takeSnapshot', 'closeTask']);
  });
});

describe('a host that evicts a task', () => {
  it('loses it at once: the task moves without waiting', async () => {
    const { steps, prepared } = twoHosts(untilCancelled);
    const { calls, result } = await run({ prompt: 'x' }, steps, async (handle) => {
      const { host } = await until('running', async () => {
        const status = await handle.query(stateQuery);
        return status.state === 'running' && status;
      });
      await handle.signal(taskEvictedSignal, { hostId: host! });
    });
    expect(result?.outcome).toBe('completed');
    expect(calls).not.toContain('awaitHost');
    expect(calls).not.toContain('fenceHost');
    expect(prepared[1]?.moved?.generation).toBe(1);
  });
});
