import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { CODEX_TASK, type CodexTaskInput } from '../../src/contract/index.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal, withTaskWorkers, type Handle } from './run-task.js';
import { ended, stubs, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);
const EVERY_SECOND = '@every 1s';

/** Starts a task with a `cronSchedule`; it and what follows it are terminated with the test. */
async function withCron(
  input: CodexTaskInput,
  overrides: Partial<Stubs>,
  test: (task: { handle: Handle; firstRunId: string; calls: string[] }) => Promise<void>,
): Promise<void> {
  const { client } = temporal.environment;
  const workflowId = `cron-${randomUUID()}`;
  const calls: string[] = [];
  const steps = asActivities(stubs(calls, overrides));
  await withTaskWorkers(temporal.environment, { workflowId }, steps, async (taskQueue) => {
    const options = { taskQueue, workflowId, args: [input], cronSchedule: EVERY_SECOND };
    const { firstExecutionRunId } = await client.workflow.start(CODEX_TASK, options);
    const handle: Handle = client.workflow.getHandle(workflowId);
    try {
      await test({ handle, firstRunId: firstExecutionRunId, calls });
    } finally {
      await handle.terminate('its test is over').catch(() => undefined);
    }
  });
}

/** The first and the last event of a run. */
async function ends(workflowId: string, runId?: string) {
  const history = await temporal.environment.client.workflow.getHandle(workflowId, runId).fetchHistory();
  const events = history.events!;
  return {
    started: events[0]!.workflowExecutionStartedEventAttributes!,
    completed: events.at(-1)!.workflowExecutionCompletedEventAttributes,
  };
}

it('starts the next task of a cron after one that ends in its first run', async () => {
  await withCron({ prompt: 'x' }, {}, async ({ handle, firstRunId, calls }) => {
    await until('two tasks', () => calls.filter((name) => name === 'closeTask').length >= 2);
    const first = await until('its end', async () => (await ends(handle.workflowId, firstRunId)).completed);
    const second = await ends(handle.workflowId, first.newExecutionRunId!);
    expect(second.started.cronSchedule).toBe(EVERY_SECOND);
    await until('its end', async () => (await ends(handle.workflowId, first.newExecutionRunId!)).completed);
  });
});

it('ends a cron with the first task that continues as new', async () => {
  let close = () => {};
  const closed = new Promise<void>((resolve) => (close = resolve));
  const session: Partial<Stubs> = {
    followSession: () => Promise.race([closed.then(() => ended('closed')), untilCancelled()]),
  };
  await withCron({ mode: 'conversation' }, session, async ({ handle, firstRunId, calls }) => {
    const { workflowId } = handle;
    await until('its session', () => calls.includes('followSession'));
    await until('a second run', async () => {
      await handle.signal('interrupt');
      return (await handle.describe()).runId !== firstRunId;
    });
    close();
    expect(await handle.result()).toMatchObject({ outcome: 'closed' });
    const first = await ends(workflowId, firstRunId);
    expect(first.started.cronSchedule).toBe(EVERY_SECOND);
    const last = await ends(workflowId);
    expect(last.started.cronSchedule).toBe('');
    expect(last.completed!.newExecutionRunId).toBe('');
  });
});
