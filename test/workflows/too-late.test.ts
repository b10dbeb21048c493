import { describe, expect, it } from 'vitest';
import { createTaskClient } from '../../src/client/index.js';
import * as contract from '../../src/contract/index.js';
import type { CloseArguments, Delivery } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle } from './run-task.js';
import { ended, report, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectLocal);

const ask = (handle: Handle, requestId: string) =>
  handle.signal(contract.permissionRequestedSignal, {
    requestId,
    kind: 'command',
    summary: 'rm -rf /',
    input: { command: 'rm -rf /' },
    openedAt: new Date(0).toISOString(),
  });

const warningsOf = async (handle: Handle) => (await handle.query(contract.stateQuery)).warnings;
/** What its state says once it has ended, while there are workers to answer. */
const lastWarnings = async (handle: Handle) => {
  await handle.result();
  return warningsOf(handle);
};
const openOnes = async (handle: Handle) =>
  (await handle.query(contract.pendingPermissionsQuery)).map(({ requestId }) => requestId);

/** A gate that a step waits at. */
function gate() {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  let reach!: () => void;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  return { open, reached, pass: async () => (reach(), opened) };
}

/** Runs a conversation that ends once it is closed; `closeTask` is noted. */
function thread(overrides: Partial<Stubs> = {}) {
  const deliveries: Delivery[] = [];
  const closes: CloseArguments[] = [];
  const over = gate();
  const steps: Partial<Stubs> = {
    followSession: async () => {
      await Promise.race([over.pass(), untilCancelled()]);
      return ended('closed');
    },
    deliver: async (delivery) => {
      deliveries.push(delivery);
      if (delivery.close) over.open();
      return report('running');
    },
    closeTask: async (args) => void closes.push(args),
    ...overrides,
  };
  return { steps, deliveries, closes, over };
}

describe('a signal at the end of a task or after it', () => {
  it('is reported when it arrives together with a close', async () => {
    const { steps, closes, deliveries, over } = thread();
    let warnings: string[] = [];
    await runTaskOn(temporal.environment, { mode: 'conversation' }, steps, async (handle) => {
      await over.reached;
      await ask(handle, 'r-1');
      await Promise.all([
        handle.signal('sendMessage', { messageId: 'last-words', text: 'please' }),
        handle.signal('permissionDecision', { requestId: 'r-1', behavior: 'allow' }),
        handle.signal('close'),
      ]);
      warnings = await lastWarnings(handle);
    });
    const arrived = deliveries.flatMap(({ messages }) => messages.map(({ messageId }) => messageId));
    // They may come in more than one delivery: each is with the host, or named as lost.
    const lost = [...(closes[0]?.undelivered ?? [])];
    expect([...arrived, ...lost]).toEqual(['last-words']);
    if (lost.length > 0) expect(warnings.join('\n')).toMatch(/Messages not delivered .*"last-words"/);
    const decided = deliveries.some(({ decisions }) => decisions.length > 0);
    expect(decided || /Decision on r-1 came too late/.test(warnings.join('\n'))).toBe(true);
  });

  const places = ['endSession', 'takeSnapshot'] as const;
  it.each(places)('is refused or reported while the task is at %s of its teardown', async (place) => {
    const at = gate();
    const { steps, closes, over } = thread();
    const answers = { endSession: undefined, takeSnapshot: { snapshotId: 's' } };
    const waiting = async () => {
      await at.pass();
      return answers[place];
    };
    let warnings: string[] = [];
    const { result } = await runTaskOn(
      temporal.environment,
      { mode: 'conversation' },
      { ...steps, [place]: waiting },
      async (handle) => {
        await over.reached;
        await ask(handle, 'r-1');
        await handle.signal('close');
        await at.reached;
        await expect(
          handle.executeUpdate(contract.decidePermissionUpdate, {
            args: [{ requestId: 'r-1', behavior: 'allow' }],
          }),
        ).rejects.toMatchObject({ cause: { message: expect.stringMatching(/r-1 is settled/) as string } });
        const task = createTaskClient({ client: temporal.environment.client }).handle(handle.workflowId);
        await expect(task.sendMessage('and this')).rejects.toMatchObject({
          code: 'NotFound',
          message: expect.stringMatching(/takes no more messages/) as string,
        });
        await handle.signal('sendMessage', { messageId: 'm-1', text: 'x' });
        await handle.signal('permissionDecision', { requestId: 'r-1', behavior: 'allow' });
        await handle.signal('interrupt');
        await handle.signal('setControl', { id: 'model', value: 'other' });
        expect(await openOnes(handle)).toEqual([]);
        at.open();
        warnings = await lastWarnings(handle);
      },
    );
    expect(result?.outcome).toBe('closed');
    expect(closes[0]?.undelivered).toEqual(['m-1']);
    expect(warnings).toEqual([
      'Message m-1 came too late: the task is ending',
      'Decision on r-1 came too late: the task is ending',
      'Interrupt came too late: the task is ending',
      'Setting model came too late: the task is ending',
    ]);
  });

  it('is refused or reported while the last event is written', async () => {
    const at = gate();
    const { steps, over } = thread({ closeTask: async () => at.pass() });
    let warnings: string[] = [];
    await runTaskOn(temporal.environment, { mode: 'conversation' }, steps, async (handle) => {
      await over.reached;
      await handle.signal('close');
      await at.reached;
      await handle.signal('sendMessage', { messageId: 'm-1', text: 'x' });
      at.open();
      warnings = await lastWarnings(handle);
    });
    expect(warnings).toEqual(['Message m-1 came too late: the task is ending']);
  });

  it('is reported for a task that is closed before it has a host', async () => {
    let warnings: string[] = [];
    const { result } = await runTaskOn(
      temporal.environment,
      {},
      { acquireLease: async () => ({ kind: 'busy', searchAttributes: false }) },
      async (handle) => {
        await handle.signal('sendMessage', { messageId: 'm-1', text: 'x' });
        await handle.signal('setControl', { id: 'model', value: 'other' });
        await handle.signal('close');
        warnings = await lastWarnings(handle);
      },
    );
    expect(result?.outcome).toBe('closed');
    expect(warnings).toEqual([
      `Messages not delivered before the task's end: "m-1"`,
      `Settings not delivered before the task's end: "model"`,
    ]);
  });

  it('does not keep its sender from repeating an accepted message', async () => {
    const at = gate();
    const { steps, over, deliveries } = thread({ endSession: () => at.pass().then(() => undefined) });
    await runTaskOn(temporal.environment, { mode: 'conversation' }, steps, async (handle) => {
      await over.reached;
      const send = () =>
        handle.executeUpdate(contract.sendUpdate, { args: [{ messageId: 'm-1', text: 'x' }] });
      expect(await send()).toEqual({ messageId: 'm-1' });
      await until('the message', () => deliveries.some(({ messages }) => messages.length > 0));
      await handle.signal('close');
      await at.reached;
      expect(await send()).toEqual({ messageId: 'm-1' });
      at.open();
    });
    expect(deliveries.flatMap(({ messages }) => messages)).toHaveLength(1);
  });
});

describe('a decision that comes before its request', () => {
  const early = async (during: (handle: Handle, decided: () => string[]) => Promise<void>) => {
    const { steps, over, deliveries } = thread();
    const decided = () => deliveries.flatMap(({ decisions }) => decisions.map(({ requestId }) => requestId));
    await runTaskOn(temporal.environment, { mode: 'conversation' }, steps, async (handle) => {
      await over.reached;
      await during(handle, decided);
      await handle.signal('close');
    });
  };

  it('is dropped after 5 s with a warning, so that nobody decides unseen', async () => {
    await early(async (handle, decided) => {
      await handle.signal('permissionDecision', { requestId: '1-7', behavior: 'allow' });
      await until('its end', async () => (await warningsOf(handle)).length > 0);
      expect(await warningsOf(handle)).toEqual([
        'Decision dropped, as no such request was open within 5 s: "1-7"',
      ]);
      await ask(handle, '1-7');
      expect(await openOnes(handle)).toEqual(['1-7']);
      expect(decided()).toEqual([]);
    });
  });

  it('counts when its request follows soon, whatever stray ones came before', async () => {
    await early(async (handle, decided) => {
      for (let i = 0; i < 150; i++)
        await handle.signal('permissionDecision', { requestId: `stray-${i}`, behavior: 'deny' });
      await handle.signal('permissionDecision', { requestId: '2-0', behavior: 'allow' });
      await ask(handle, '2-0');
      await until('the decision', () => decided().length === 1);
      expect(decided()).toEqual(['2-0']);
      expect(await openOnes(handle)).toEqual([]);
      await until('the end of the strays', async () => (await warningsOf(handle)).length > 0);
      const said = (await warningsOf(handle)).join('\n');
      expect(said).toContain('"stray-');
      expect(said).not.toContain('"2-0"');
    });
  });
});
