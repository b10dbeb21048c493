import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Worker } from '@temporalio/worker';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { CODEX_TASK, stateQuery } from '../../src/contract/index.js';
import type { Delivery } from '../../src/contract/activities.js';
import { workflowBundle } from '../support/built-package.js';
import { range } from '../support/range.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal, type Handle } from './run-task.js';
import { freshQueue, report, stubs, untilCancelled, withWorkers } from './stub-host.js';

const temporal = useTemporal(connectLocal);

it('handles each signal of a burst as if it had arrived alone', async () => {
  const { client } = temporal.environment;
  const taskQueue = freshQueue();
  const handle: Handle = await client.workflow.start(CODEX_TASK, {
    taskQueue,
    workflowId: `burst-${randomUUID()}`,
    args: [{ mode: 'conversation' }],
  });
  const message = (id: string) => ({ messageId: id, text: `text of ${id}` });
  const sent: string[] = [];
  const send = async (id: string, ...more: unknown[]) => {
    await handle.signal('sendMessage', message(id), ...more);
    sent.push(id);
  };
  for (let i = 0; i < 120; i++) await send(`m${i}`);
  await send('with another argument', message('which is not looked at'));
  for (const argument of [null, 7, { messageId: 'no-text' }]) await handle.signal('sendMessage', argument);
  await handle.signal('sendMessage');
  await handle.signal('unknown', message('u'));
  await handle.signal('codexTask.signals', message('v'));
  await handle.signal('sendMessage', message('m0'));
  await send('the last');

  const deliveries: Delivery[] = [];
  const steps = stubs([], {
    followSession: async () => untilCancelled(),
    deliver: async (delivery) => {
      deliveries.push(delivery);
      return report('running');
    },
  });
  const arrived = () => deliveries.flatMap(({ messages }) => messages);
  await withWorkers(
    temporal.environment,
    asActivities(steps),
    async () => {
      await until('all of them', () => arrived().length >= sent.length);
      const { warnings } = await handle.query(stateQuery);
      expect(arrived().map(({ messageId }) => messageId)).toEqual(sent);
      expect(arrived().map(({ text }) => text)).toEqual(sent.map((id) => `text of ${id}`));
      expect(warnings.map((line) => line.split(':')[0])).toEqual([
        ...Array<string>(4).fill('Signal sendMessage ignored'),
        'Signal unknown ignored',
        'Signal codexTask.signals ignored',
      ]);
      const { events } = await handle.fetchHistory();
      expect(events?.filter(({ workflowTaskFailedEventAttributes: failed }) => failed)).toEqual([]);
      await handle.terminate();
    },
    { taskQueue },
  );
});

it('spends less than a millisecond on each signal of a burst', async () => {
  await replay(await burst(90));
  const COUNT = 3_000;
  const history = await burst(COUNT);
  const before = process.cpuUsage();
  await replay(history);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1_000 / COUNT).toBeLessThan(1);
});

interface SavedEvent {
  eventType: string;
  eventTime: string;
  [field: string]: unknown;
}

async function replay(history: unknown): Promise<void> {
  const bundle = { workflowBundle: await workflowBundle(), debugMode: true };
  await Worker.runReplayHistory(bundle, historyFromJSON(history));
}

/** The first workflow task of a task for which so many messages waited, made of one for which none did. */
async function burst(count: number): Promise<{ events: SavedEvent[] }> {
  const { events } = JSON.parse(await readFile(SAVED, 'utf8')) as { events: SavedEvent[] };
  const [started, ...rest] = events;
  const end = rest.findIndex(({ eventType }) => eventType === 'EVENT_TYPE_ACTIVITY_TASK_STARTED');
  const signals = range(1, count).map((i) => ({
    eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED',
    eventTime: started!.eventTime,
    taskId: '1',
    workflowExecutionSignaledEventAttributes: {
      signalName: 'sendMessage',
      input: { payloads: [{ metadata: { encoding: base64('json/plain') }, data: base64(messageText(i)) }] },
    },
  }));
  const later = rest.slice(0, end).map((event) => moved(event, count) as SavedEvent);
  return {
    events: [started!, ...signals, ...later].map((event, i) => ({ ...event, eventId: String(i + 1) })),
  };
}

const SAVED = new URL('../histories/real-conversation-closed.json', import.meta.url);
const base64 = (text: string) => Buffer.from(text).toString('base64');
const messageText = (i: number) => JSON.stringify({ messageId: `m${i}`, text: `hello ${i}` });

/** The same with ids of events, which are `by` later. */
function moved(value: unknown, by: number): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const fields = Object.entries(value as Record<string, unknown>);
  return Object.fromEntries(
    fields.map(([key, each]) => [key, key.endsWith('EventId') ? String(Number(each) + by) : moved(each, by)]),
  );
}
