import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { modelProvider, requestsFor, type ModelServer } from '../../src/dev/model-server.js';
import { insertSeed } from '../../src/store/seeds.js';
import { audit, keptPool } from './audit.js';
import { startChaosModel, textOf, type Asked } from './chaos-model.js';
import type { ChaosStack } from './chaos-stack.js';
import { driveTask, type Driven, type TaskEnd } from './drive-task.js';
import { authFileOf, createFaults } from './faults.js';
import { isLong, killsWorker } from './faults-of-chaos.js';
import { FIRST_STEP_PHASES, STEP_PHASES, type Hit, type Phase, type Plan } from './plan.js';
import type { RunResult } from './results.js';
import { notBack, stateOf } from './state-of.js';
import { stopsByGuard } from './stops-by-guard.js';
import { watchParked } from './watch-parked.js';
import { watchCodexes } from './watch-codexes.js';
import { watchRefreshes } from './watch-refreshes.js';
import { watchSteps } from './watch-steps.js';

/** A task whose host is gone at its end waits 150 s for it. */
const RUN_MS = 420_000;
const USUAL_TTL_MS = 60_000;
/** For plans with an outage longer than it: near the least there can be, with room for a busy machine. */
const SHORT_TTL_MS = 12_000;

type Reached = (asked: Asked, phase: Phase) => Promise<void>;

/**
 * Runs a plan, and has everything looked at afterwards. What is not as it must be is in `wrong`.
 * @param keep begins the names of the files that get the histories of a failed run's tasks; default: none do
 */
export async function runPlan(stack: ChaosStack, plan: Plan, keep?: string): Promise<RunResult> {
  const hasLong = plan.hits.some(({ fault }) => isLong(fault));
  await stack.useLeaseTtl(hasLong ? SHORT_TTL_MS : USUAL_TTL_MS);
  stack.subscribers.take();
  const began = performance.now();
  const over = new AbortController();
  const { signal } = over;
  const limit = setTimeout(() => over.abort(new Error(`not over after ${RUN_MS} ms`)), RUN_MS);
  // Each task's streams and waits listen to it.
  setMaxListeners(0, signal);
  const run = randomUUID().slice(0, 8);
  const ids = plan.tasks.map((_, index) => `chaos-${plan.seed}-${run}-${index}`);
  const wrong: string[] = [];
  const faults = createFaults(stack, async (fault) => {
    const late = await Promise.all(ids.map((taskId) => notBack(stack, taskId, signal)));
    wrong.push(...late.filter((each) => each !== null).map((each) => `${each} after ${fault}`));
  });
  const codexes = watchCodexes(stack.dataDir, ids);
  const records = plan.tasks.map(() => ({ credential: null as string | null }));
  const due = new Set(plan.hits);
  const done: Hit[] = [];
  const skipped: Hit[] = [];
  const at = new Map<string, Asked>();
  const reached: Reached = async (asked, phase) => {
    at.set(asked.taskId, asked);
    const task = ids.indexOf(asked.taskId);
    for (const hit of [...due]) {
      if (hit.task !== task || hit.message !== asked.message || hit.phase !== phase) continue;
      due.delete(hit);
      const isDone = await faults.hit(hit.fault, asked.taskId, records[task]!);
      (isDone ? done : skipped).push(hit);
    }
  };
  const ofAccount = (phase: Phase) => async (taskId: string) => {
    const asked = at.get(taskId);
    if (asked) await reached(asked, phase);
  };
  watchRefreshes(
    stack.oauth,
    {
      taken: ofAccount('refreshing'),
      written: ofAccount('refreshed'),
      authFile: (taskId) => authFileOf(stack.dataDir, taskId),
    },
    signal,
  );
  const model = await startChaosModel(reached);
  const spent = stack.oauth.refreshes().length;
  try {
    const parts = plan.tasks.map((planned, index) => ({
      planned,
      taskId: ids[index]!,
      stepsDue: plan.hits.some(({ task, phase }) => task === index && isStep(phase)),
      parked: () => ofAccount('parked')(ids[index]!),
    }));
    const drives = await Promise.allSettled(
      parts.map((part) => runTask({ stack, model, reached, signal, ...part })),
    );
    await faults.healed();
    await stack.ready();
    wrong.push(...(await codexes.close()));
    for (const [index, drive] of drives.entries()) {
      const { planned, taskId } = parts[index]!;
      if (drive.status === 'rejected') {
        wrong.push(`${taskId}: ${String(drive.reason)}; ${await stateOf(stack, taskId)}`);
        continue;
      }
      const own = done.filter(({ task }) => task === index);
      const counted = planned.messages.map(
        (kind, message) => requestsFor(model.requests, textOf({ taskId, message, kind })).length,
      );
      const audited = {
        ...drive.value,
        credential: drive.value.credential && (records[index]!.credential ?? drive.value.credential),
        suffered: {
          own,
          all: done,
          messages: planned.messages,
          fenced: await stopsByGuard(stack.dataDir, taskId),
        },
        requests: counted,
      };
      const found = await audit(stack, audited).catch((error: unknown) => [`${taskId}: ${String(error)}`]);
      wrong.push(...found);
    }
    if (wrong.length > 0) await clear(stack, ids, keep);
    const driven = drives.map((drive) => (drive.status === 'fulfilled' ? drive.value.driven : null));
    return {
      seed: plan.seed,
      ms: Math.round(performance.now() - began),
      wrong,
      tasks: driven.map((each) => (each ? endText(each.end) : 'not ended')),
      messages: plan.tasks.flatMap(({ messages }) => messages).length,
      requests: model.requests.length,
      events: sum(driven, ({ events }) => events.length),
      decisions: sum(driven, ({ allowed }) => allowed.length),
      rotations: done.filter(({ fault }) => fault === 'rotate').length,
      refreshes: stack.oauth.refreshes().length - spent,
      hits: [
        ...done.map((hit) => told(hit, driven[hit.task] ? endText(driven[hit.task]!.end) : 'not ended')),
        ...skipped.map((hit) => told(hit, 'skipped')),
        ...[...due].map((hit) => told(hit, 'not reached')),
      ],
      receivedMs: stack.subscribers.take().map(Math.round),
      onlyKills: done.every(
        ({ fault }) => killsWorker(fault) || fault === 'kill-codex' || fault === 'rotate',
      ),
    };
  } finally {
    await codexes.close();
    clearTimeout(limit);
    over.abort();
    await model.close();
  }
}

const isStep = (phase: Phase): boolean =>
  [FIRST_STEP_PHASES, STEP_PHASES].some((phases) => Object.values(phases).includes(phase));

const told = ({ phase, fault }: Hit, outcome: string) => ({ phase, fault, outcome });

const endText = (end: TaskEnd): string => ('failed' in end ? `stopped: ${end.failed}` : 'whole');

const sum = (all: readonly (Driven | null)[], of: (driven: Driven) => number): number =>
  all.reduce((total, each) => total + (each ? of(each) : 0), 0);

interface TaskRun {
  stack: ChaosStack;
  model: ModelServer;
  reached: Reached;
  signal: AbortSignal;
  planned: Plan['tasks'][number];
  taskId: string;
  stepsDue: boolean;
  /** Called when the task is parked. */
  parked: () => Promise<void>;
}

async function runTask({ stack, model, reached, signal, planned, taskId, stepsDue, parked }: TaskRun) {
  const { messages, captures } = planned;
  const isLogin = messages.includes('refresh');
  const apiKey = JSON.stringify({ OPENAI_API_KEY: `sk-first-of-no-value-${taskId}` });
  const authJson = isLogin ? stack.oauth.login({ accountId: taskId }) : Buffer.from(apiKey);
  // One that has a pool stays there.
  const seedId = await insertSeed(stack.store, { authJson, ...(!captures && { pool: taskId }) });
  const { model_provider, model_providers } = modelProvider(model.url);
  const scripted = { ...model_providers.scripted, requires_openai_auth: isLogin };
  await stack.client.start(taskId, {
    mode: 'conversation',
    credential: captures ? { seedId } : { pool: taskId },
    ...(captures && { captureSeed: { pool: keptPool(taskId) } }),
    codexConfig: {
      model_provider,
      model_providers: { scripted },
      ...(isLogin && { chatgpt_base_url: stack.oauth.backendUrl }),
    },
  });
  const task = stack.client.handle(taskId);
  const ends = new AbortController();
  const either = AbortSignal.any([signal, ends.signal]);
  setMaxListeners(0, either);
  const first = { taskId, message: 0, kind: messages[0]! };
  const begun = new Set<Phase>();
  const began = async (step: string) => {
    const phase = FIRST_STEP_PHASES[step];
    // A task that comes back takes the same steps again.
    if (!phase || begun.has(phase)) return;
    begun.add(phase);
    await reached(first, phase);
  };
  if (stepsDue) watchSteps(stack.temporal, taskId, began, either).catch(() => undefined);
  if (messages.includes('limit')) watchParked(task, parked, either).catch(() => undefined);
  const last = { taskId, message: messages.length - 1, kind: messages.at(-1)! };
  const scheduled = async (step: string) => {
    const phase = STEP_PHASES[step];
    if (phase) await reached(last, phase);
  };
  let runs = '';
  const driven = await driveTask(
    task,
    messages,
    async (asked, phase) => {
      const file = join(stack.dataDir, 'tasks', taskId, 'work', 'runs.txt');
      if (phase === 'idle') runs = await readFile(file, 'utf8').catch(() => '');
      if (phase === 'closing' && stepsDue)
        watchSteps(stack.temporal, taskId, scheduled, either).catch(() => undefined);
      await reached(asked, phase);
    },
    signal,
  ).finally(() => {
    ends.abort();
    stack.subscribers.forget(taskId);
  });
  return { task, planned, seedId, credential: isLogin ? null : apiKey, driven, runs };
}

/** What a failed run left must not trouble the next one. */
async function clear(stack: ChaosStack, ids: readonly string[], keep?: string): Promise<void> {
  for (const id of ids) {
    const workflow = stack.temporal.workflow.getHandle(id);
    if (keep !== undefined) {
      const history = historyToJSON(await workflow.fetchHistory());
      await writeFile(`${keep}.${id}.json`, history);
    }
    await workflow.terminate('the run failed').catch(() => undefined);
  }
}
