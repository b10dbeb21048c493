import { randomUUID } from 'node:crypto';
import { Worker } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import * as contract from '../../src/contract/index.js';
import type { Delivery } from '../../src/contract/activities.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { clientWith, key, replayWith, workersWith } from './encrypted.js';
import { useTemporal, type Handle } from './run-task.js';
import { report, stubs, untilCancelled, withWorkers } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);

const WHY = 'it is encrypted with the key "k1", which CODEX_TASK_PAYLOAD_KEY does not open';

/** A task whose session goes on, on workers and by a client with these keys. */
async function withTask(
  keys: string,
  input: contract.CodexTaskInput,
  during: (handle: Handle, deliveries: Delivery[]) => Promise<void>,
): Promise<void> {
  const { environment } = temporal;
  const deliveries: Delivery[] = [];
  const steps = stubs([], {
    followSession: async () => untilCancelled(),
    deliver: async (delivery) => {
      deliveries.push(delivery);
      return report('running');
    },
  });
  const test = async (taskQueue: string) => {
    const handle: Handle = await clientWith(environment, keys).workflow.start(contract.CODEX_TASK, {
      taskQueue,
      workflowId: `answers-${randomUUID()}`,
      args: [{ mode: 'conversation', ...input }],
    });
    try {
      await during(handle, deliveries);
    } finally {
      await handle.terminate();
    }
  };
  await withWorkers(environment, asActivities(steps), test, await workersWith(keys));
}

describe('an answer of a hook', () => {
  it('fails the hook when the worker cannot read it, and so in a readable replay', async () => {
    const { steps } = await workersWith(key('k1'));
    const taskQueue = `hooks-${randomUUID()}`;
    const { nativeConnection: connection, namespace } = temporal.environment;
    const hooks = await Worker.create({
      ...steps,
      connection,
      namespace: namespace ?? 'default',
      taskQueue,
      activities: { onDeliverable: async () => 'ok' },
    });
    const file = {
      path: 'deliverables/a.md',
      bytes: 1,
      sha256: 'ab',
      contentType: 'text/plain',
      blobId: 'b',
    };
    const input = { hooks: { onDeliverable: { taskQueue, activityType: 'onDeliverable' } } };
    const run = withTask('', input, async (handle, deliveries) => {
      await handle.signal(contract.hookRequestedSignal, {
        id: 'e-1',
        kind: 'deliverable',
        deliverable: file,
      });
      const answers = () => deliveries.flatMap((delivery) => delivery.answers);
      await until('the answer', () => answers().length > 0);
      expect(answers()[0]?.text).toContain('trouble on my side');
      expect((await handle.query(contract.stateQuery)).warnings).toEqual([
        `Hook onDeliverable: its answer: ${WHY}`,
      ]);
      for (const keys of ['', key('k1')]) await replayWith(keys, handle);
    });
    await hooks.runUntil(run);
  });
});

describe('a run that cannot read its carried state', () => {
  it('waits for a worker that has the key', async () => {
    await withTask(key('k1'), {}, async (handle) => {
      const isContinued = async () => {
        const { events } = await handle.fetchHistory();
        return events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId !== '';
      };
      let sent = 0;
      await until('another run', async () => {
        await handle.signal(contract.sendMessageSignal, { messageId: `m-${++sent}`, text: 'more' });
        return isContinued();
      });
      await handle.query(contract.stateQuery);
      await replayWith(key('k1'), handle);
      await expect(replayWith('', handle)).rejects.toThrow(/Left to a worker that can read it/);
    });
  });
});
