import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import { createTaskClient, type TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import {
  assistantMessage,
  commandCall,
  type ModelAnswer,
  type ModelScript,
  type ResponseItem,
} from '../../src/dev/model-server.js';
import { scriptedCodex, startScriptedWorker, type Script, type ScriptStep } from '../../src/testing/index.js';
import { useRealStack } from './real-stack.js';
import { realTasks } from './real-tasks.js';
import { workflowBundle } from '../support/built-package.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal } from '../workflows/run-task.js';
import { freshQueue } from '../workflows/stub-host.js';

const stack = useRealStack();
const scripted = useTemporal(connectLocal);
const { start } = realTasks(() => stack);

/** What somebody does to a task, the same to both. */
type Act = (task: TaskHandle) => Promise<void>;

/** What both histories have to have alike. */
interface Told {
  /** Signals and updates in their order; a request with its kind and what people read of it. */
  readonly signals: string[];
  /** In their order. A host's last words and the end of its session race, so the two lists are not one. */
  readonly steps: string[];
  readonly outcome: unknown;
}

const REASON = 'the test asks';

/** A model that does what the script says; `allow`: what is decided. */
function modelOf(script: Script, allow: boolean): ModelScript {
  let left = [...script.steps];
  return () => {
    const items: ResponseItem[] = [];
    for (;;) {
      const step = left.shift();
      if (!step || step.does === 'end' || step.does === 'await-message') return items satisfies ModelAnswer;
      items.push(itemOf(step));
      if (step.does !== 'ask') continue;
      left = [...(allow ? step.onAllow : step.onDeny), ...left];
      return items;
    }
  };
}

function itemOf(step: ScriptStep): ResponseItem {
  if (step.does === 'message') return assistantMessage(step.text);
  if (step.does === 'ask' && step.request.kind === 'command')
    return commandCall(step.request.command, { escalated: true, justification: REASON });
  throw new Error(`no model does this: ${step.does}`);
}

async function realRun(script: Script, input: CodexTaskInput, act: Act, allow: boolean): Promise<Told> {
  stack.play(modelOf(script, allow));
  const { task } = await start({ prompt: 'go', ...input });
  await act(task);
  return told(task, stack.temporal.client.workflow.getHandle(task.taskId));
}

async function scriptedRun(script: Script, input: CodexTaskInput, act: Act): Promise<Told> {
  const { client } = scripted.environment;
  const worker = await startScriptedWorker(scripted.environment, script, {
    taskQueue: freshQueue(),
    workflowBundle: await workflowBundle(),
  });
  try {
    const tasks = createTaskClient({ client, taskQueue: worker.taskQueue });
    const task = await tasks.start(`scripted-${randomUUID()}`, { prompt: 'go', ...input });
    await act(task);
    return await told(task, client.workflow.getHandle(task.taskId));
  } finally {
    await worker.close();
  }
}

async function told(task: TaskHandle, handle: WorkflowHandle): Promise<Told> {
  const outcome = await task.result().then(
    ({ outcome, turns, finalMessage, deliverables, output }) => ({
      outcome,
      turns,
      finalMessage,
      deliverables,
      output,
    }),
    (error: Error & { code?: string; details?: unknown }) => ({ code: error.code, details: error.details }),
  );
  const { events } = await handle.fetchHistory();
  const lines = (events ?? []).flatMap(lineOf);
  const isStep = (line: string) => line.startsWith('step ');
  return { signals: lines.filter((line) => !isStep(line)), steps: lines.filter(isStep), outcome };
}

type HistoryEvent = NonNullable<Awaited<ReturnType<WorkflowHandle['fetchHistory']>>['events']>[number];

function lineOf(event: HistoryEvent): string[] {
  const {
    workflowExecutionSignaledEventAttributes: signal,
    activityTaskScheduledEventAttributes: activity,
    workflowExecutionUpdateAcceptedEventAttributes: update,
  } = event;
  if (activity) return [`step ${activity.activityType?.name}`];
  if (update) return [`update ${update.acceptedRequest?.input?.name}`];
  if (!signal) return [];
  const data = signal.input?.payloads?.[0]?.data;
  const argument = data ? (JSON.parse(Buffer.from(data).toString()) as unknown) : undefined;
  return [`signal ${signal.signalName}${detailOf(signal.signalName, argument)}`];
}

/** What of a signal's argument does not differ from run to run. */
function detailOf(name: string | null | undefined, argument: unknown): string {
  const given = (argument ?? {}) as Record<string, unknown>;
  switch (name) {
    case 'permissionRequested': {
      const { requestId, kind, summary, input } = given as Record<string, unknown> & { input: object };
      const { command } = input as { command: unknown };
      return ` ${JSON.stringify([requestId, kind, summary, command])}`;
    }
    case 'permissionSettled':
      return ` ${JSON.stringify(given)}`;
    case 'permissionsRecorded':
      return ` ${JSON.stringify(argument)}`;
    case 'sessionChanged':
      return ` ${JSON.stringify([given['activity'], given['turns']])}`;
    default:
      return '';
  }
}

const asks = (command: string) => ({ kind: 'command', command, reason: REASON }) as const;
const openRequest = (task: TaskHandle) =>
  until('an open request', async () => (await task.status().catch(() => null))?.pending[0]);
const turns = (task: TaskHandle, count: number) =>
  until(`${count} turns`, async () => {
    const status = await task.status().catch(() => null);
    return status?.turns === count && status.state === 'idle';
  });
const decides =
  (behavior: 'allow' | 'deny'): Act =>
  async (task) => {
    const { requestId } = await openRequest(task);
    await task.decide({ requestId, behavior });
  };

const asking = scriptedCodex()
  .message('I need this')
  .asks(asks('echo "it\'s $HOME" > made.txt'))
  .onAllow('made it')
  .onDeny('left it')
  .ends();
const talking = scriptedCodex().message('one').awaitsMessage().ends('two');
const ruled = scriptedCodex().asks(asks('ls')).ends('listed');

const outputSchema = {
  type: 'object',
  properties: { a: { type: 'integer' } },
  required: ['a'],
  additionalProperties: false,
};
const answering = scriptedCodex().message('It is 1').awaitsMessage().ends('{"a":1}');

const SCENES: [string, Script, CodexTaskInput, Act, allow?: boolean][] = [
  ['a request that is allowed', asking, {}, decides('allow')],
  ['a request that is denied', asking, {}, decides('deny'), false],
  ['a request that times out', asking, { approvals: { timeoutMs: 500 } }, async () => undefined, false],
  [
    'a request that a rule allows',
    ruled,
    { approvals: { rules: [{ commandPrefix: ['ls'], then: 'allow' }] } },
    async () => undefined,
  ],
  [
    'an interrupt while a request is open',
    asking,
    {},
    async (task) => {
      await openRequest(task);
      await task.interrupt();
    },
  ],
  [
    'a close while a request is open',
    asking,
    {},
    async (task) => {
      await openRequest(task);
      await task.close();
    },
  ],
  ['an answer that is corrected', answering, { outputSchema }, async () => undefined],
  [
    'an answer that does not fit',
    scriptedCodex().ends('{"a":"1"}'),
    { outputSchema, limits: { outputRetries: 0 } },
    async () => undefined,
  ],
  [
    'a conversation of two turns',
    talking,
    { mode: 'conversation' },
    async (task) => {
      await turns(task, 1);
      await task.sendMessage('more');
      await turns(task, 2);
      await task.close();
    },
  ],
];

describe('a script and a real worker with a model that does the same give the same history:', () => {
  it.each(SCENES)('%s', async (_, script, input, act, allow = true) => {
    const [real, fake] = [await realRun(script, input, act, allow), await scriptedRun(script, input, act)];
    expect(real.steps.length).toBeGreaterThan(0);
    expect(fake).toEqual(real);
  });
});
