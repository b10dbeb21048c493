import { describe, expect, it } from 'vitest';
import { scriptedCodex, startScriptedWorker } from '../../src/testing/index.js';
import { createTaskClient } from '../../src/client/index.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal } from '../workflows/run-task.js';
import { freshQueue } from '../workflows/stub-host.js';
import { workflowBundle } from '../support/built-package.js';
import { inState, playTask, type Played } from './kit.js';

const temporal = useTemporal(connectLocal);
const play = <T>(...[script, input, test]: [...Parameters3<T>]) =>
  playTask(temporal.environment, script, input, test);
type Parameters3<T> = [
  Parameters<typeof playTask>[1],
  Parameters<typeof playTask>[2],
  (played: Played) => Promise<T>,
];

const talks = { mode: 'conversation' } as const;
const rm = { kind: 'command', command: 'rm -rf x' } as const;

describe('a scripted conversation', () => {
  it('starts a turn for each message, idles between turns and ends at its close', async () => {
    const script = scriptedCodex()
      .message('one')
      .awaitsMessage()
      .message('two')
      .awaitsMessage()
      .ends('three');
    await play(script, talks, async ({ task, worker }) => {
      await until('the first turn', async () => (await task.status()).turns === 1);
      await task.sendMessage('next', { messageId: 'm2' });
      await task.sendMessage('next', { messageId: 'm2' });
      await until('the second turn', async () => (await task.status()).turns === 2);
      await task.sendMessage('last');
      await until('the third turn', async () => (await task.status()).turns === 3);
      expect(await task.status()).toMatchObject({ state: 'idle', usage: { totalTokens: 45 } });
      await task.close();
      expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 3, finalMessage: 'three' });
      expect(worker.heard(task.taskId)).toMatchObject({
        messages: [{ text: 'go' }, { text: 'next' }, { text: 'last' }],
        closed: true,
      });
    });
  });

  it('names a message for which its script has no turn', async () => {
    await play(scriptedCodex().ends('all'), talks, async ({ task }) => {
      await inState(task, 'idle');
      await task.sendMessage('more', { messageId: 'm2' });
      const { lastError } = await until('its error', async () => {
        const status = await task.status();
        return status.lastError !== undefined && status;
      });
      expect(lastError).toContain('the script has no turn for message m2');
      await task.close();
      expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 1 });
    });
  });

  it('continues after a failed turn, whose error the task shows', async () => {
    const script = scriptedCodex().failsTurn('no such model').awaitsMessage().ends('better');
    await play(script, talks, async ({ task }) => {
      await until('its error', async () => (await task.status()).lastError === 'no such model');
      await task.sendMessage('again');
      await until('a turn', async () => (await task.status()).turns === 1);
      await task.close();
      expect(await task.result()).toMatchObject({ finalMessage: 'better' });
    });
  });

  it('changes its model', async () => {
    await play(scriptedCodex().awaitsMessage(), talks, async ({ task, worker }) => {
      await inState(task, 'idle');
      const handle = temporal.environment.client.workflow.getHandle(task.taskId);
      await handle.signal('setControl', { id: 'model', value: 'gpt-5.4-mini' });
      await until('the other model', async () => (await task.status()).model === 'gpt-5.4-mini');
      expect(worker.heard(task.taskId).controls).toEqual([{ id: 'model', value: 'gpt-5.4-mini' }]);
      await task.close();
      await task.result();
    });
  });

  it('takes rules while it asks, which decide that request and later ones', async () => {
    const script = scriptedCodex().asks(rm).asks({ kind: 'command', command: 'ls' }).awaitsMessage();
    await play(script, talks, async ({ task, worker }) => {
      await worker.whenAsked(task.taskId);
      await task.rules.add({ kind: 'command', then: 'allow' });
      await until('the turn', async () => (await task.status()).turns === 1);
      const { decidedByRule, pending } = await task.status();
      expect({ decidedByRule, pending }).toEqual({ decidedByRule: { allow: 2, deny: 0 }, pending: [] });
      expect(worker.heard(task.taskId).decisions).toEqual([]);
      await task.close();
      expect(await task.result()).toMatchObject({ outcome: 'closed' });
    });
  });

  it('closes after its idle limit without a message', async () => {
    const input = { ...talks, limits: { idleMs: 200 } };
    await play(scriptedCodex().ends('hello'), input, async ({ task }) => {
      expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 1 });
    });
  });
});

describe('a scripted task', () => {
  it.each(['interrupt', 'close'] as const)('withdraws its open request at its %s', async (how) => {
    await play(scriptedCodex().asks(rm).ends(), {}, async ({ task, worker }) => {
      const { requestId } = await worker.whenAsked(task.taskId);
      await task[how]();
      const outcome = how === 'close' ? 'closed' : 'interrupted';
      expect(await task.result()).toMatchObject({ outcome, turns: 0 });
      expect((await task.status()).pending).toEqual([]);
      await expect(task.decide({ requestId, behavior: 'allow' })).rejects.toThrow();
      expect(worker.heard(task.taskId)).toMatchObject({ decisions: [], closed: how === 'close' });
    });
  });

  it('tears down at a cancellation', async () => {
    await play(scriptedCodex().hangs(), {}, async ({ task, worker }) => {
      await inState(task, 'running');
      await task.cancel();
      await expect(task.result()).rejects.toMatchObject({ code: 'Cancelled' });
      expect(worker.heard(task.taskId).steps.slice(-4)).toEqual([
        'endSession',
        'saveCredential',
        'takeSnapshot',
        'closeTask',
      ]);
    });
  });

  it('exceeds the time limit of its turns', async () => {
    const input = { limits: { turnMs: 200 } };
    await play(scriptedCodex().hangs(), input, async ({ task }) => {
      await expect(task.result()).rejects.toMatchObject({
        code: 'TurnTimedOut',
        message: expect.stringContaining('200 ms') as string,
      });
    });
  });

  it('counts a request that a rule decides, and asks nobody', async () => {
    const script = scriptedCodex()
      .asks(rm)
      .onDeny('not that')
      .asks({ kind: 'command', command: 'ls' })
      .onAllow('but this')
      .ends();
    const rules = [
      { commandPrefix: ['rm'], then: 'deny' },
      { commandPrefix: ['ls'], then: 'allow' },
    ] as const;
    const input = {
      ...talks,
      approvals: { rules: rules.map((rule) => ({ ...rule, commandPrefix: [...rule.commandPrefix] })) },
    };
    await play(script, input, async ({ task, worker }) => {
      await until('its turn', async () => (await task.status()).turns === 1);
      await expect.poll(async () => (await task.status()).decidedByRule).toEqual({ allow: 1, deny: 1 });
      await task.close();
      expect(await task.result()).toMatchObject({ finalMessage: 'but this' });
      expect(worker.heard(task.taskId).decisions).toEqual([]);
    });
  });

  it('refuses an allow without answers for a question', async () => {
    const script = scriptedCodex()
      .asks({ kind: 'userInput', questions: [{ id: 'q', question: 'Which?', options: ['a', 'b'] }] })
      .ends('answered');
    await play(script, {}, async ({ task, worker }) => {
      const { requestId, summary } = await worker.whenAsked(task.taskId);
      expect(summary).toBe('Answer: Which?');
      await expect(task.decide({ requestId, behavior: 'allow' })).rejects.toThrow('lacks q');
      await task.decide({ requestId, behavior: 'allow', updatedInput: { answers: { q: 'a' } } });
      expect(await task.result()).toMatchObject({ finalMessage: 'answered' });
      expect(worker.heard(task.taskId).decisions).toMatchObject([{ updatedInput: { answers: { q: 'a' } } }]);
    });
  });

  it('shows the changes and permissions that it asks for', async () => {
    const script = scriptedCodex()
      .asks({ kind: 'fileChange', changes: [{ path: 'a.txt', diff: '+a' }] })
      .asks({ kind: 'permissions', permissions: { network: { enabled: true } }, reason: 'to fetch' })
      .asks({ kind: 'elicitation', serverName: 'tickets', message: 'Close it?' })
      .ends('asked');
    await play(script, {}, async ({ task }) => {
      const summaries: string[] = [];
      for (let i = 0; i < 3; i++) {
        const request = await until('the next', async () =>
          (await task.status()).pending.find(({ requestId }) => requestId === `1-${i}`),
        );
        summaries.push(request.summary);
        await task.decide({ requestId: request.requestId, behavior: 'allow' });
      }
      expect(summaries[0]).toContain('a.txt');
      expect(summaries[1]).toContain('to fetch');
      expect(summaries[2]).toBe('tickets: Close it?');
      expect(await task.result()).toMatchObject({ finalMessage: 'asked' });
    });
  });

  it('refuses an invalid pattern, and a question under a policy that never asks', async () => {
    const worker = await startScriptedWorker(temporal.environment, scriptedCodex().asks(rm).ends(), {
      taskQueue: freshQueue(),
      workflowBundle: await workflowBundle(),
    });
    try {
      const { client } = temporal.environment;
      const start = (approvals: object) =>
        client.workflow.start('codexTask', {
          taskQueue: worker.taskQueue,
          workflowId: `refused-${freshQueue()}`,
          args: [{ prompt: 'x', approvals }],
        });
      const codeOf = async (approvals: object) => {
        const { workflowId } = await start(approvals);
        const task = createTaskClient({ client }).handle(workflowId);
        return task.result().catch((error: Error) => error.message);
      };
      expect(await codeOf({ rules: [{ pattern: '(', then: 'deny' }] })).toContain(
        'approvals.rules[0].pattern',
      );
      expect(await codeOf({ policy: 'never' })).toContain('approvals.policy');
    } finally {
      await worker.close();
    }
  });

  it('plays the script of its id, and fails when there is none', async () => {
    const named = (taskId: string) => {
      if (taskId.startsWith('known')) return scriptedCodex().ends(`of ${taskId}`);
      throw new Error('nobody wrote one');
    };
    const worker = await startScriptedWorker(temporal.environment, named, {
      taskQueue: freshQueue(),
      workflowBundle: await workflowBundle(),
    });
    try {
      const { client } = temporal.environment;
      const tasks = createTaskClient({ client, taskQueue: worker.taskQueue });
      const known = await tasks.start(`known-${freshQueue()}`, { prompt: 'x' });
      expect(await known.result()).toMatchObject({ finalMessage: `of ${known.taskId}` });
      const unknown = await tasks.start(`unknown-${freshQueue()}`, { prompt: 'x' });
      await expect(unknown.result()).rejects.toMatchObject({
        code: 'BadInput',
        message: expect.stringContaining('nobody wrote one') as string,
      });
      expect(() => worker.heard('nobody')).toThrow('No task nobody');
    } finally {
      await worker.close();
    }
  });
});
