import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { CODEX_TASK, stateQuery } from '../../src/contract/index.js';
import type { Acquired } from '../../src/contract/activities.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal, type Handle } from './run-task.js';
import { keptTexts, stubs, withWorkers } from './stub-host.js';

const BUSY: Acquired = { kind: 'busy', searchAttributes: false };
const lease = { seedId: 'seed-9', holder: 'h', leaseEpoch: 9 };
const LEASED: Acquired = { kind: 'leased', lease, searchAttributes: false };
const temporal = useTemporal(connectShortRuns);

it('reads in a retried run the input that the first run stored in the database', async () => {
  const { client } = temporal.environment;
  const store = keptTexts();
  const prompts: string[] = [];
  let free = () => {};
  const freed = new Promise<void>((resolve) => (free = resolve));
  const prompt = 'p'.repeat(900_000);
  const steps = stubs([], {
    ...store,
    acquireLease: async (): Promise<Acquired> => {
      // A run that asks again and again is continued before its time is over.
      if (store.texts.size === 0) return BUSY;
      await freed;
      return LEASED;
    },
    prepareWorkdir: async ({ spec, keptSpec }) => {
      const fields =
        keptSpec && (JSON.parse(keptSpec.blobIds.map((id) => store.texts.get(id)).join('')) as object);
      prompts.push({ ...spec, ...fields }.prompt ?? '');
    },
  });
  await withWorkers(temporal.environment, asActivities(steps), async (taskQueue) => {
    const handle: Handle = await client.workflow.start(CODEX_TASK, {
      taskQueue,
      workflowId: `retried-${randomUUID()}`,
      args: [{ mode: 'conversation', prompt, instructions: 'i'.repeat(300_000) }],
      memo: { summary: 'what it is for' },
      workflowRunTimeout: '30s',
      retry: { maximumAttempts: 2, initialInterval: '1s' },
    });
    const runId = async () => (await client.workflow.getHandle(handle.workflowId).describe()).runId;
    const first = await runId();
    await until('a further run', async () => {
      await client.workflow.getHandle(handle.workflowId).signal('interrupt');
      return (await runId()) !== first;
    });
    await until('the input in the database', () => store.texts.size > 0);
    const page = await until('its page', () =>
      client.workflow
        .getHandle(handle.workflowId)
        .query<{ currentDetails: string }>('__temporal_workflow_metadata')
        .then(({ currentDetails }) => currentDetails)
        .catch(() => null),
    );
    expect(page).toMatch(/^what it is for\n\n\*\*waiting-for-credential/);
    // Signals that were under way may have it continue once more.
    let [before, now] = [first, await runId()];
    const isRetried = async () => {
      const latest = await runId();
      if (latest !== now) [before, now] = [now, latest];
      const { status } = await client.workflow.getHandle(handle.workflowId, before).describe();
      return status.name === 'TIMED_OUT';
    };
    await until('the retry', isRetried, 120_000);
    const third = client.workflow.getHandle(handle.workflowId);
    const state = await until('its state', () => third.query(stateQuery).catch(() => null), 60_000);
    expect(state.state).toBe('waiting-for-credential');
    free();
    expect(await third.result()).toMatchObject({ outcome: 'completed' });
    expect(prompts).toEqual([prompt]);
  });
}, 240_000);
