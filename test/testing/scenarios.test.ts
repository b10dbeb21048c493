import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptedCodex } from '../../src/testing/index.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { connectLocal, startTimeSkipping, type TestTemporal } from '../support/temporal.js';
import { inState, playTask } from './kit.js';

const HOUR_MS = 3_600_000;
const asks = { kind: 'command', command: 'rm -rf x' } as const;

describe.each([
  ['skips time', startTimeSkipping],
  ['does not', connectLocal],
])('on a server that %s, a task', (_, start) => {
  let temporal: TestTemporal;
  beforeAll(async () => {
    quietRuntime();
    temporal = await start();
  });
  afterAll(() => temporal.close());

  const script = scriptedCodex()
    .message('Looking')
    .asks(asks)
    .onAllow('removed it')
    .onDeny((codex) => codex.message('left it').ends('nothing done'))
    .ends();

  it('continues as its script says when it is approved', async () => {
    await playTask(temporal.environment, script, {}, async ({ task, worker }) => {
      const request = await worker.whenAsked(task.taskId);
      expect(request).toMatchObject({
        requestId: '1-0',
        kind: 'command',
        input: { command: "/bin/bash -lc 'rm -rf x'" },
      });
      expect(request.summary).toContain('Run outside the sandbox');
      await task.decide({ requestId: request.requestId, behavior: 'allow', decidedBy: 'ann' });
      expect(await task.result()).toMatchObject({
        outcome: 'completed',
        turns: 1,
        finalMessage: 'removed it',
      });
      expect(worker.heard(task.taskId)).toMatchObject({
        messages: [{ text: 'go' }],
        decisions: [{ behavior: 'allow', decidedBy: 'ann' }],
        closed: false,
      });
    });
  });

  it('takes the other branch when it is denied', async () => {
    await playTask(temporal.environment, script, {}, async ({ task, worker }) => {
      const { requestId } = await worker.whenAsked(task.taskId);
      await task.decide({ requestId, behavior: 'deny' });
      expect(await task.result()).toMatchObject({ outcome: 'completed', finalMessage: 'nothing done' });
    });
  });

  it('is denied a request at its timeout', async () => {
    const input = { approvals: { timeoutMs: 300 } };
    await playTask(temporal.environment, script, input, async ({ task, worker }) => {
      expect(await task.result()).toMatchObject({ finalMessage: 'nothing done' });
      expect(worker.heard(task.taskId).decisions).toMatchObject([{ behavior: 'deny', decidedBy: 'timeout' }]);
    });
  });

  it('loses its host and continues on another with a new lease', async () => {
    const lost = scriptedCodex().message('begun').losesHost().asks(asks).ends('done elsewhere');
    await playTask(temporal.environment, lost, {}, async ({ task, worker }) => {
      const { requestId } = await worker.whenAsked(task.taskId);
      expect(requestId).toBe('1001-0');
      await task.decide({ requestId, behavior: 'allow' });
      expect(await task.result()).toMatchObject({ outcome: 'completed', finalMessage: 'done elsewhere' });
      const { hosts, steps } = worker.heard(task.taskId);
      expect(new Set(hosts).size).toBe(2);
      expect(steps.filter((name) => name === 'acquireLease')).toHaveLength(2);
    });
  });

  it('repeats an open request of its lost host on the next one', async () => {
    await playTask(temporal.environment, script, {}, async ({ task, worker }) => {
      const first = await worker.whenAsked(task.taskId);
      worker.loseHost(task.taskId);
      await expect
        .poll(async () => (await task.status()).pending.map(({ requestId }) => requestId))
        .toEqual(['1001-0']);
      await expect(task.decide({ requestId: first.requestId, behavior: 'allow' })).rejects.toThrow('settled');
      await task.decide({ requestId: '1001-0', behavior: 'allow' });
      expect(await task.result()).toMatchObject({ finalMessage: 'removed it' });
    });
  });

  it('exceeds the time limit of its turns', async () => {
    await playTask(temporal.environment, scriptedCodex().timesOut(), {}, async ({ task }) => {
      await expect(task.result()).rejects.toMatchObject({ code: 'TurnTimedOut' });
    });
  });

  it.each([
    'NoCredential',
    'BadInput',
    'SnapshotUnreadable',
    'CodexFailed',
    'LeaseLost',
    'CredentialDead',
  ] as const)('fails with %s and the message of its script', async (code) => {
    await playTask(temporal.environment, scriptedCodex().fails(code, 'as written'), {}, async ({ task }) => {
      await expect(task.result()).rejects.toMatchObject({
        code,
        message: expect.stringContaining('as written') as string,
      });
    });
  });
});

describe('on a server that skips time, a task', () => {
  let temporal: TestTemporal;
  beforeAll(async () => {
    quietRuntime();
    temporal = await startTimeSkipping();
  });
  afterAll(() => temporal.close());

  it('is parked for five hours and continues after them', async () => {
    const parked = scriptedCodex()
      .message('begun')
      .parks(5 * HOUR_MS)
      .ends('after the reset');
    const beganAt = await temporal.environment.currentTimeMs();
    await playTask(temporal.environment, parked, {}, async ({ task }) => {
      await inState(task, 'parked');
      const { parkedUntil, seedId } = await task.status();
      expect(Date.parse(parkedUntil!) - beganAt).toBeGreaterThanOrEqual(5 * HOUR_MS);
      expect(seedId === null || seedId === 'scripted-default').toBe(true);
      expect(await task.result()).toMatchObject({ outcome: 'completed', finalMessage: 'after the reset' });
      expect((await temporal.environment.currentTimeMs()) - beganAt).toBeGreaterThanOrEqual(5 * HOUR_MS);
    });
  });
});
