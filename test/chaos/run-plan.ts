import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelProvider, requestsFor } from '../../src/dev/model-server.js';
import { insertSeed } from '../../src/store/seeds.js';
import { audit } from './audit.js';
import { startChaosModel, textOf, type Asked } from './chaos-model.js';
import type { ChaosStack } from './chaos-stack.js';
import { driveTask } from './drive-task.js';
import { createFaults } from './faults.js';
import { planText, type Fault, type Phase, type Plan } from './plan.js';

/** What one run counted. */
export interface RunCounts {
  tasks: number;
  messages: number;
  events: number;
  decisions: number;
  rotations: number;
  faults: Fault[];
}

const RUN_MS = 150_000;

/** Runs a plan, and has everything looked at afterwards. @throws Error with the plan and all that is wrong */
export async function runPlan(stack: ChaosStack, plan: Plan): Promise<RunCounts> {
  const signal = AbortSignal.timeout(RUN_MS);
  const faults = createFaults(stack);
  const run = randomUUID().slice(0, 8);
  const records = plan.tasks.map(() => ({ credential: null as string | null }));
  const due = new Set(plan.hits);
  const done: Plan['hits'] = [];
  const idOf = (index: number) => `chaos-${plan.seed}-${run}-${index}`;
  const reached = async ({ taskId, message }: Asked, phase: Phase) => {
    const task = plan.tasks.findIndex((_, index) => idOf(index) === taskId);
    const record = records[task];
    if (!record) return;
    for (const hit of [...due].filter((each) => each.task === task && each.message === message)) {
      if (hit.phase !== phase) continue;
      due.delete(hit);
      done.push(hit);
      await faults.hit(hit.fault, taskId, record);
    }
  };
  const model = await startChaosModel(reached);
  try {
    const drives = plan.tasks.map(async (kinds, index) => {
      const taskId = idOf(index);
      const credential = JSON.stringify({ OPENAI_API_KEY: `sk-first-of-no-value-${taskId}` });
      const seedId = await insertSeed(stack.store, { authJson: Buffer.from(credential), pool: taskId });
      await stack.client.start(taskId, {
        mode: 'conversation',
        credential: { pool: taskId },
        codexConfig: modelProvider(model.url),
      });
      const task = stack.client.handle(taskId);
      let runs = '';
      const driven = await driveTask(
        task,
        kinds,
        async (asked, phase) => {
          const work = join(stack.dataDir, 'tasks', taskId, 'work', 'runs.txt');
          if (phase === 'idle') runs = await readFile(work, 'utf8').catch(() => '');
          await reached(asked, phase);
        },
        signal,
      );
      return { taskId, task, kinds, seedId, credential, driven, runs };
    });
    const ends = await Promise.allSettled(drives);
    await faults.healed();
    await stack.ready();
    const wrong: string[] = [];
    let events = 0;
    let decisions = 0;
    for (const [index, end] of ends.entries()) {
      if (end.status === 'rejected') {
        wrong.push(`${idOf(index)}: ${String(end.reason)}; ${await stateOf(stack, idOf(index))}`);
        continue;
      }
      const { taskId, kinds, driven } = end.value;
      events += driven.events.length;
      decisions += driven.allowed.length;
      wrong.push(
        ...(await audit(stack, {
          ...end.value,
          credential: records[index]?.credential ?? end.value.credential,
          // A stopped worker breaks the turns of all its tasks.
          faults: done
            .filter((hit) => hit.task === index || hit.fault === 'stop-worker')
            .map(({ fault }) => fault),
          requests: kinds.map(
            (kind, message) => requestsFor(model.requests, textOf({ taskId, message, kind })).length,
          ),
        })),
      );
    }
    if (wrong.length > 0) throw new Error(`${planText(plan)}\n${wrong.join('\n')}`);
    return {
      tasks: plan.tasks.length,
      messages: plan.tasks.flat().length,
      events,
      decisions,
      rotations: done.filter(({ fault }) => fault === 'rotate').length,
      faults: done.map(({ fault }) => fault),
    };
  } finally {
    await model.close();
  }
}

/** How a task stands that did not come to its end in time, for whoever reads the failure. */
async function stateOf(stack: ChaosStack, taskId: string): Promise<string> {
  const task = stack.client.handle(taskId);
  const status = await task.status().catch(String);
  if (typeof status === 'string') return status;
  const { state, turns, threadId, pending, warnings, lastError } = status;
  const why = state === 'failed' ? await task.result().then(() => null, String) : null;
  const { raw } = await task.describe();
  const steps = raw.pendingActivities?.map(({ activityType, attempt, lastFailure }) =>
    [activityType?.name, attempt, lastFailure?.message].join(' '),
  );
  return JSON.stringify({ state, turns, threadId, pending: pending.length, warnings, lastError, why, steps });
}
