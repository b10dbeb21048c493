import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import * as contract from '../../src/contract/index.js';
import type { Delivery } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal, withTaskWorkers, type Handle } from './run-task.js';
import { saveHistory } from './histories.js';
import { report, stubs, untilCancelled } from './stub-host.js';

const temporal = useTemporal(connectLocal);

const openedAt = new Date(0).toISOString();
const command = { kind: 'command', summary: 'Run ls', input: { command: 'ls' }, openedAt } as const;
const request = { ...command, requestId: 'r-1' };

/** What each signal with an argument takes. Null where the contract has null, or for what is absent. */
const VALID: Record<string, Record<string, unknown>> = {
  sendMessage: { messageId: 'm-1', text: 'hello', images: null },
  setControl: { id: 'model', value: 'gpt-5.5' },
  setRules: { add: [{ ruleId: 'rule-1', rule: { kind: 'command', then: 'ask' } }] },
  permissionDecision: { requestId: 'r-1', behavior: 'allow', message: null },
  permissionRequested: { ...request, expiresAt: null },
  permissionSettled: { requestId: 'r-1', reason: 'turn-ended' },
  hostRestarted: { hostId: 'h' },
  taskEvicted: { hostId: 'h' },
  claimRefused: { hostId: 'h', protocol: 1 },
  sessionChanged: { ...report('idle'), lastError: null },
  hookRequested: { id: 'e-1', kind: 'upload', path: 'a', bytes: 1 },
};
const RECORDS = [{ requestId: 'r-2', kind: 'command', summary: 's', behavior: 'allow', decidedBy: 'rule' }];
const WITHOUT_ARGUMENT = ['interrupt', 'close', 'seedAvailable'];

const signals = Object.values(contract)
  .filter((each): each is typeof contract.closeSignal => (each as { type?: unknown }).type === 'signal')
  .map(({ name }) => name);

/** No argument, and arguments that are none, by what is wrong with them. */
function malformed(name: string): Record<string, unknown[]> {
  const valid = VALID[name];
  const anyway = {
    'no argument': [],
    null: [null],
    'a number': [7],
    'a string': ['text'],
    'an object without fields': [{}],
  };
  if (!valid) return { ...anyway, 'a list of something else': [[1]], 'no list': [RECORDS[0]] };
  const [first] = Object.keys(valid);
  return {
    ...anyway,
    'a list': [[valid]],
    'a field of another type': [{ ...valid, [first!]: { a: 1 } }],
    'a field without a value': [{ ...valid, [first!]: null }],
    'a huge field': [{ ...valid, [first!]: '€'.repeat(100_000) }],
    'huge unknown fields': [{ ...valid, more: 'x'.repeat(1_000_000) }],
    'a deep value': [{ ...valid, [first!]: nested(200) }],
    'many unknown fields': [
      { ...valid, ...Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [`k${i}`, i])) },
    ],
  };
}

const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`) as unknown;

/** Runs a task whose session goes on for ever, until `during` is over. */
async function withTask(
  during: (handle: Handle, deliveries: Delivery[], calls: string[]) => Promise<void>,
  options: { args?: unknown[]; memo?: Record<string, unknown> } = {},
): Promise<void> {
  const deliveries: Delivery[] = [];
  const calls: string[] = [];
  const steps = stubs(calls, {
    followSession: async () => untilCancelled(),
    deliver: async (delivery) => {
      deliveries.push(delivery);
      return report('running');
    },
  });
  const workflowId = `signals-${randomUUID()}`;
  await withTaskWorkers(temporal.environment, { workflowId }, asActivities(steps), async (taskQueue) => {
    const handle: Handle = await temporal.environment.client.workflow.start(contract.CODEX_TASK, {
      taskQueue,
      workflowId,
      args: [{ mode: 'conversation' }],
      ...options,
    });
    await until('a session', () => calls.includes('followSession'));
    await during(handle, deliveries, calls);
    await handle.terminate();
  });
}

const warningsOf = async (handle: Handle) => (await handle.query(contract.stateQuery)).warnings;

describe('a signal', () => {
  it('of each name is listed in this test', () => {
    const known = [...Object.keys(VALID), ...WITHOUT_ARGUMENT, 'permissionsRecorded'];
    expect([...signals].sort()).toEqual(known.sort());
  });

  it.each(signals.filter((name) => !WITHOUT_ARGUMENT.includes(name)))(
    '%s with a malformed argument is dropped with one warning that says why',
    async (name) => {
      await withTask(async (handle) => {
        let before = await warningsOf(handle);
        for (const [what, args] of Object.entries(malformed(name))) {
          await handle.signal(name, ...args);
          const after = await warningsOf(handle);
          expect(after.at(-2), what).toBe(before.at(-1));
          const last = after.at(-1) ?? '';
          expect(last, what).toMatch(new RegExp(`^Signal ${name} ignored: .*(expected|unknown key)`, 's'));
          expect(Buffer.byteLength(JSON.stringify(last)), what).toBeLessThanOrEqual(2_048);
          expect(Buffer.byteLength(JSON.stringify(after))).toBeLessThan(65_536);
          before = after;
        }
        await handle.signal(name, ...(VALID[name] ? [VALID[name], 'more'] : [RECORDS, 'more']));
        expect(await warningsOf(handle)).toEqual(before);
        const { events = [] } = await handle.fetchHistory();
        expect(events?.filter(({ workflowTaskFailedEventAttributes: failed }) => failed)).toEqual([]);
      });
    },
  );

  it('without an argument takes effect, whatever arguments come with it', async () => {
    await withTask(async (handle, deliveries) => {
      for (const argument of [null, 7, 'text', [1], { any: 1 }])
        await handle.signal('seedAvailable', argument);
      await handle.signal('interrupt', { any: 1 });
      await until(
        'the interrupt',
        () => deliveries.some(({ interrupts = [] }) => interrupts.length > 0),
        20_000,
      );
      await handle.signal('close', 'now');
      await until('the close', () => deliveries.some(({ close }) => close));
      expect(await warningsOf(handle)).toEqual([]);
    });
  });

  it('of every name is handled by one task, and a message over 64 KiB goes by the database', async () => {
    await withTask(async (handle, deliveries, calls) => {
      await handle.signal('sendMessage', { messageId: 'large', text: 'x'.repeat(70_000) });
      await handle.signal('permissionsRecorded', RECORDS);
      for (const name of ['interrupt', 'seedAvailable']) await handle.signal(name);
      for (const [name, argument] of Object.entries(VALID))
        if (name !== 'taskEvicted') await handle.signal(name, argument);
      await until('the message', () => deliveries.some(({ batches = [] }) => batches.length > 0));
      await until('the decision', () => deliveries.some(({ decisions }) => decisions.length > 0));
      await until('its removal from the database', () => calls.includes('dropTexts'));
      await saveHistory(temporal.environment.client, handle.workflowId, 'every-signal');
    });
  });

  it('that is an outdated report changes only the warnings', async () => {
    await withTask(async (handle) => {
      await handle.signal('sessionChanged', { ...report('idle', 7), revision: 9_000_000 });
      const old = { ...report('running', 1), revision: 8_000_000, warnings: ['late'], warning: 'later' };
      await handle.signal('sessionChanged', old);
      const state = await handle.query(contract.stateQuery);
      expect(state).toMatchObject({ turns: 7, warnings: ['later', 'late'] });
    });
  });

  it('that no task handles is reported once, and bounded', async () => {
    await withTask(async (handle) => {
      await handle.signal('x'.repeat(900), { any: 1 });
      const [warning, ...others] = await warningsOf(handle);
      expect(warning).toMatch(/^Signal x{253}… ignored: a task has no such signal$/);
      expect(others).toEqual([]);
    });
  });

  it('takes effect in order of arrival, even before the first workflow task', async () => {
    const { client } = temporal.environment;
    const calls: string[] = [];
    const steps = stubs(calls, { acquireLease: async () => ({ kind: 'busy', searchAttributes: false }) });
    const workflowId = `signals-${randomUUID()}`;
    await withTaskWorkers(temporal.environment, { workflowId }, asActivities(steps), async (taskQueue) => {
      // Nobody takes its first workflow task before all of them are there.
      const handle = await client.workflow.signalWithStart(contract.CODEX_TASK, {
        taskQueue,
        workflowId,
        args: [{ mode: 'conversation' }],
        startDelay: '3s',
        signal: 'setControl',
        signalArgs: [{ id: 'model', value: 'first' }],
      });
      await handle.signal('permissionDecision', { requestId: 'r-1', behavior: 'deny' });
      await handle.signal('close');
      await handle.signal('sendMessage', { messageId: 'm-1', text: 'x' });
      await handle.result();
      const { warnings } = await handle.query(contract.stateQuery);
      expect(warnings).toEqual([
        `Messages not delivered before the task's end: "m-1"`,
        `Settings not delivered before the task's end: "model"`,
        expect.stringMatching(/^Decision dropped/),
      ]);
    });
  });
});

describe('a decision by update', () => {
  it('is delivered as validated, the same as by signal', async () => {
    await withTask(async (handle, deliveries) => {
      const message = 'bad \ud800 end';
      await handle.signal('permissionRequested', request);
      await handle.executeUpdate('decidePermission', {
        args: [{ requestId: 'r-1', behavior: 'deny', message, scope: null }],
      });
      await handle.signal('permissionRequested', { ...request, requestId: 'r-2' });
      await handle.signal('permissionDecision', { requestId: 'r-2', behavior: 'deny', message });
      const decisions = () => deliveries.flatMap((each) => each.decisions);
      await until('both', () => decisions().length === 2);
      const said = { behavior: 'deny', message: 'bad \ufffd end' };
      expect(decisions()).toEqual([
        { ...said, requestId: 'r-1', decidedBy: 'update' },
        { ...said, requestId: 'r-2', decidedBy: 'signal' },
      ]);
    });
  });

  it.each([
    [[null], /decision: expected/],
    [[{ requestId: 7, behavior: 'allow' }], /requestId: expected/],
    [[{ requestId: 'r-9', behavior: 'maybe' }], /behavior: expected/],
    [[{ requestId: 'r-9', behavior: 'allow' }], /r-9 is unknown/],
  ])('with %j is rejected with a reason', async (args, reason) => {
    await withTask(async (handle) => {
      await expect(
        handle.executeUpdate('decidePermission', { args: args as [unknown] }),
      ).rejects.toMatchObject({ cause: { message: expect.stringMatching(reason) as string } });
      expect((await handle.query(contract.stateQuery)).state).not.toBe('');
    });
  });
});
