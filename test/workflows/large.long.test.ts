import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/activity';
import { describe, expect, it } from 'vitest';
import { BUDGETS } from '../../src/budgets/budgets.js';
import {
  closeSignal,
  hookRequestedSignal,
  permissionRequestedSignal,
  sendMessageSignal,
  stateQuery,
  type CodexTaskInput,
} from '../../src/contract/index.js';
import type { Acquired, Delivery, DeliveryPart, PrepareArguments } from '../../src/contract/activities.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runLongTask } from './long-task.js';
import { useTemporal, type Handle } from './run-task.js';
import { ended, keptTexts, report, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);
const encoded = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

const busy: Acquired = { kind: 'busy', searchAttributes: false };
const leased: Acquired = {
  kind: 'leased',
  lease: { seedId: 'seed-9', holder: 'h', leaseEpoch: 9 },
  searchAttributes: false,
};

/** A task that waits for a credential until it is let go, and a host that reads what it is given. */
function scene(kept: Partial<Stubs> = {}) {
  const store = keptTexts();
  let isFree = false;
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  const arrived: DeliveryPart[] = [];
  const sizes: number[] = [];
  const prepared: PrepareArguments[] = [];
  const readJson = (blobIds: string[]) =>
    JSON.parse(blobIds.map((id) => store.texts.get(id)).join('')) as unknown;
  const steps: Partial<Stubs> = {
    ...store,
    ...kept,
    acquireLease: async () => (isFree ? leased : busy),
    prepareWorkdir: async (args) => {
      sizes.push(encoded(args));
      const fields = args.keptSpec ? (readJson(args.keptSpec.blobIds) as object) : {};
      prepared.push({ ...args, spec: { ...args.spec, ...fields } });
    },
    followSession: async () => {
      await Promise.race([over, untilCancelled()]);
      return ended('completed');
    },
    deliver: async (delivery: Delivery) => {
      sizes.push(encoded(delivery));
      const { order = [], messages, batches = [] } = delivery;
      for (const kind of order)
        if (kind === 'message') arrived.push({ kind, value: messages.shift()! });
        else if (kind === 'batch') arrived.push(...(readJson(batches.shift()!.blobIds) as DeliveryPart[]));
      return report('running');
    },
  };
  const texts = () => arrived.map((part) => (part.kind === 'message' ? part.value.text : part.kind));
  return { steps, store, texts, sizes, prepared, letGo: () => (isFree = true), end: () => end() };
}

const send = (handle: Handle, text: string) =>
  handle.signal(sendMessageSignal, { messageId: randomUUID(), text });

async function untilNextRun(handle: Handle): Promise<void> {
  const { runId } = await handle.describe();
  for (let i = 0; (await handle.describe()).runId === runId; i++) {
    if (i > 300) throw new Error('the run goes on');
    await send(handle, 'short');
  }
}

describe('a value that exceeds one payload', () => {
  it('reaches the host whole and in order, and leaves nothing in the database', async () => {
    const { steps, store, texts, sizes, letGo, end } = scene();
    const large = ['x'.repeat(300_000), '漢'.repeat(50_000), '😀'.repeat(30_000), '\u0001"\n'.repeat(10_000)];
    const small = Array.from({ length: 12 }, (_, i) => `${i}${'y'.repeat(60_000)}`);
    const sent = [...large.flatMap((text, i) => [text, small[i]!]), ...small.slice(4)];
    const { result } = await runLongTask(
      temporal.environment,
      { input: { mode: 'conversation' }, steps: () => steps },
      async ({ handle }) => {
        for (const text of sent) await send(handle, text);
        letGo();
        await until('all of them', () => texts().length >= sent.length, 60_000);
        end();
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(texts().map((text) => text.slice(0, 40))).toEqual(sent.map((text) => text.slice(0, 40)));
    expect(texts()).toEqual(sent);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(BUDGETS.delivery);
    expect(store.texts.size).toBe(0);
  }, 180_000);

  it.each([
    ['ASCII', 'p', 1_000_000, 850_000],
    ['CJK', '漢', 200_000, 150_000],
    ['surrogate pairs', '😀', 150_000, 120_000],
  ])(
    'reaches the next run of a waiting task, as does its input: %s',
    async (_, char, prompt, instructions) => {
      const { steps, store, texts, sizes, prepared, letGo, end } = scene();
      const input: CodexTaskInput = {
        mode: 'conversation',
        prompt: char.repeat(prompt),
        instructions: char.repeat(instructions),
        ui: { theme: char.repeat(5_000) },
        files: [{ path: 'a', blobId: '0'.repeat(24) }],
        approvals: { rules: [{ then: 'ask', commandPrefix: ['ls'] }] },
      };
      const sent = Array.from({ length: 8 }, (_, i) => `${i}${char.repeat(15_000)}`);
      const carried: number[] = [];
      const { result, runs } = await runLongTask(
        temporal.environment,
        { input, steps: () => steps },
        async ({ handle }) => {
          for (const text of sent) await send(handle, text);
          await untilNextRun(handle);
          await untilNextRun(handle);
          const history = await handle.fetchHistory();
          const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
          carried.push(...(started?.input?.payloads ?? []).map(({ data }) => data!.length));
          expect((await handle.query(stateQuery)).ui).toEqual(input.ui);
          letGo();
          await until('all of them', () => texts().filter((text) => text !== 'short').length >= 8, 60_000);
          end();
        },
      );
      expect(result?.outcome).toBe('completed');
      expect(runs.length).toBeGreaterThan(2);
      expect(carried.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(1024 * 1024);
      expect(texts().filter((text) => text !== 'short')).toEqual(sent);
      const { taskId: _id, ...given } = prepared[0]!.spec;
      expect(given).toMatchObject({
        prompt: input.prompt,
        instructions: input.instructions,
        files: input.files,
        approvals: input.approvals,
      });
      expect(Math.max(...sizes)).toBeLessThanOrEqual(BUDGETS.prepare + 4_096);
      expect(store.texts.size).toBe(0);
    },
    180_000,
  );

  it('is dropped with a warning when no worker can keep it, and nothing else is', async () => {
    const unknown = async () => {
      throw ApplicationFailure.create({ type: 'NotFoundError', message: 'no such step' });
    };
    const { steps, texts, letGo, end } = scene({ keepText: unknown, readText: unknown, dropTexts: unknown });
    const { result } = await runLongTask(
      temporal.environment,
      { input: { mode: 'conversation' }, steps: () => steps },
      async ({ handle }) => {
        await send(handle, 'before');
        await handle.signal(sendMessageSignal, { messageId: 'the-large-one', text: 'x'.repeat(800_000) });
        await send(handle, 'after');
        letGo();
        await until('the others', () => texts().length >= 2, 60_000);
        const { warnings } = await handle.query(stateQuery);
        expect(warnings.filter((warning) => warning.includes('message the-large-one'))).toHaveLength(1);
        end();
      },
    );
    expect(result?.outcome).toBe('completed');
    expect(texts()).toEqual(['before', 'after']);
  });

  it('never keeps `state` from answering, nor the next run from starting', async () => {
    const { steps, letGo, end } = scene();
    const { result, runs } = await runLongTask(
      temporal.environment,
      { input: { mode: 'conversation', hooks: {} }, steps: () => steps },
      async ({ handle, calls }) => {
        letGo();
        await until('the session', () => calls.includes('followSession'));
        const odd = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`key${i}`, 1]));
        for (let i = 0; i < 2; i++) await handle.signal(sendMessageSignal, odd as never);
        for (let i = 0; i < 20; i++)
          await handle.signal(permissionRequestedSignal, {
            requestId: `1-${i}`,
            kind: 'command',
            summary: '漢'.repeat(1_000),
            input: { command: '漢'.repeat(20_000) },
            openedAt: new Date().toISOString(),
          });
        for (let i = 0; i < 30; i++)
          await handle.signal(hookRequestedSignal, {
            id: `e${i}`,
            kind: 'callerMessage',
            keyword: 'k',
            message: 'x'.repeat(50_000),
          });
        const state = await handle.query(stateQuery);
        expect(encoded(state)).toBeLessThan(256 * 1024);
        expect(state.pending).toHaveLength(20);
        expect(encoded(state.warnings)).toBeLessThan(20_000);
        await untilNextRun(handle);
        expect((await handle.query(stateQuery)).pending).toHaveLength(20);
        end();
        await handle.signal(closeSignal);
      },
    );
    expect(result?.outcome).toMatch(/completed|closed/);
    expect(runs.length).toBeGreaterThan(1);
  }, 180_000);
});
