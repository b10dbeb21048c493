import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { clientFailure } from '../../src/client/client-failure.js';
import { createTaskClient } from '../../src/client/task-client.js';
import * as contract from '../../src/contract/index.js';
import type { Delivery } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { clientWith, key, replayWith, workersWith } from './encrypted.js';
import { ENCRYPTED, saveHistory } from './histories.js';
import { useTemporal, type Handle } from './run-task.js';
import { report, stubs, untilCancelled, withWorkers } from './stub-host.js';

const temporal = useTemporal(connectLocal);

const WHY = 'it is encrypted with the key "k1", which CODEX_TASK_PAYLOAD_KEY does not open';

interface Begun {
  /** As somebody without a key has it. */
  plain: Handle;
  /** As somebody with the key `k1` has it. */
  encrypting: Handle;
  deliveries: Delivery[];
}

/** A task whose session goes on until `during` is over, on workers with `keys`. */
async function withTask(
  keys: string,
  during: (begun: Begun) => Promise<void>,
  by: 'plain' | 'encrypting' = 'plain',
  input: unknown = { mode: 'conversation' },
): Promise<void> {
  const { environment } = temporal;
  const deliveries: Delivery[] = [];
  const calls: string[] = [];
  const steps = stubs(calls, {
    followSession: async () => untilCancelled(),
    deliver: async (delivery) => {
      deliveries.push(delivery);
      return report('running');
    },
  });
  const test = async (taskQueue: string) => {
    const workflowId = `unreadable-${randomUUID()}`;
    const clients = { plain: environment.client, encrypting: clientWith(environment, key('k1')) };
    const start = { taskQueue, workflowId, args: [input] as [object], memo: { of: 'whoever starts it' } };
    await clients[by].workflow.start<(input: object) => Promise<contract.CodexTaskResult>>(
      contract.CODEX_TASK,
      start,
    );
    const [plain, encrypting] = [clients.plain, clients.encrypting].map((client) =>
      client.workflow.getHandle(workflowId),
    ) as [Handle, Handle];
    try {
      await during({ plain, encrypting, deliveries });
    } finally {
      await plain.terminate().catch(() => undefined);
    }
  };
  await withWorkers(environment, asActivities(steps), test, await workersWith(keys));
}

const failedTasks = async (handle: Handle) =>
  ((await handle.fetchHistory()).events ?? []).filter(
    ({ workflowTaskFailedEventAttributes: failed }) => failed,
  );
const warningsOf = async (handle: Handle) => (await handle.query(contract.stateQuery)).warnings;
const messages = (deliveries: Delivery[]) =>
  deliveries.flatMap(({ messages = [] }) => messages.map(({ text }) => text));

describe('a worker without the key of a client', () => {
  it('fails a run whose input it cannot read, and names the key', async () => {
    await withTask(
      '',
      async ({ plain }) => {
        await expect(plain.result()).rejects.toMatchObject({
          cause: { type: 'BadInput', nonRetryable: true, message: `input: ${WHY}` },
        });
        expect(await failedTasks(plain)).toEqual([]);
        // Whoever has the key by then replays it as it was.
        await replayWith(key('k1'), plain);
      },
      'encrypting',
    );
  });

  it('drops signals and updates it cannot read with a warning, and continues', async () => {
    await withTask('', async ({ plain, encrypting, deliveries }) => {
      await encrypting.signal('sendMessage', { messageId: 'm-1', text: 'unread' });
      await encrypting.signal('close', 'now');
      await encrypting.signal('permissionRequested', { any: 1 });
      await expect(
        encrypting.executeUpdate(contract.sendUpdate, { args: [{ messageId: 'm-2', text: 'unread' }] }),
      ).rejects.toMatchObject({ cause: { message: `message: ${WHY}` } });
      await plain.signal('sendMessage', { messageId: 'm-3', text: 'read' });
      await until('the message', () => messages(deliveries).includes('read'));
      expect(messages(deliveries)).toEqual(['read']);
      expect(await warningsOf(plain)).toEqual(
        ['sendMessage', 'close', 'permissionRequested'].map((name) => `Signal ${name} ignored: ${WHY}`),
      );
      expect(await failedTasks(plain)).toEqual([]);
      // By a worker that has the key since, and by one that has it not.
      for (const keys of [key('k1'), '']) await replayWith(keys, plain);
      await saveHistory(temporal.environment.client, plain.workflowId, 'unread-signals');
    });
  });

  it('leaves what other workers wrote or had read to a worker with the key', async () => {
    await withTask(key('k1'), async ({ plain, encrypting, deliveries }) => {
      await encrypting.signal('sendMessage', { messageId: 'm-1', text: 'read' });
      await until('the message', () => messages(deliveries).includes('read'));
      await replayWith(key('k1'), plain);
      await saveHistory(temporal.environment.client, plain.workflowId, ENCRYPTED);
      for (const keys of ['', `plain,${key('k2')}`, `plain,${key('k1', 'other')}`])
        await expect(replayWith(keys, plain)).rejects.toThrow(
          /Left to a worker that can read it: it is encrypted with the key \W+k1/,
        );
    });
  });
});

describe('a payload that the worker cannot read', () => {
  it.each([
    ['JSON that is none', { encoding: 'json/plain' }, 'it cannot be read as "json/plain"'],
    ['another encoding', { encoding: 'json/protobuf' }, 'it cannot be read as "json/protobuf"'],
    ['no encoding', {}, 'it has no encoding'],
  ])('is dropped with a warning: %s', async (_what, metadata, why) => {
    await withTask('', async ({ plain }) => {
      const { client, namespace } = temporal.environment;
      const bytes = Object.fromEntries(
        Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value)]),
      );
      await client.workflowService.signalWorkflowExecution({
        namespace: namespace ?? 'default',
        workflowExecution: { workflowId: plain.workflowId },
        signalName: 'sendMessage',
        input: { payloads: [{ metadata: bytes, data: Buffer.from('{') }] },
      });
      expect(await warningsOf(plain)).toEqual([`Signal sendMessage ignored: ${why}`]);
      expect(await failedTasks(plain)).toEqual([]);
    });
  });
});

describe('rotated keys', () => {
  it('keep a running task readable to workers and clients until the old one goes', async () => {
    const rotated = `${key('k2')},${key('k1')}`;
    await withTask(
      key('k1'),
      async ({ plain, encrypting, deliveries }) => {
        await encrypting.signal('sendMessage', { messageId: 'm-1', text: 'read' });
        await until('the message', () => messages(deliveries).includes('read'));
        for (const keys of [rotated, `plain,${key('k1')}`]) await replayWith(keys, plain);
        const newer = clientWith(temporal.environment, rotated).workflow.getHandle(plain.workflowId);
        expect(await newer.query(contract.stateQuery)).toMatchObject({ warnings: [] });
      },
      'encrypting',
    );
  });
});

describe('a client without the key', () => {
  it('gets an error with the missing key from every call', async () => {
    await withTask(
      key('k1'),
      async ({ plain, encrypting }) => {
        await encrypting.query(contract.stateQuery);
        const without = clientWith(temporal.environment, key('k2')).workflow.getHandle(plain.workflowId);
        const why = { code: 'BadInput', message: `A payload cannot be read: ${WHY}` };
        await expect(without.query(contract.stateQuery)).rejects.toMatchObject(why);
        const asked = plain.query(contract.stateQuery).catch((error: unknown) => clientFailure(error, 't'));
        expect(await asked).toMatchObject({
          code: 'BadInput',
          message: 'Temporal has payloads that this client cannot read: give it CODEX_TASK_PAYLOAD_KEY',
        });
        const tasks = createTaskClient({ client: temporal.environment.client });
        expect((await tasks.handle(plain.workflowId).describe()).status.name).toBe('RUNNING');
        await until('it in the list', async () => {
          for await (const { taskId } of tasks.list()) if (taskId === plain.workflowId) return true;
          return false;
        });
      },
      'encrypting',
    );
  });
});
