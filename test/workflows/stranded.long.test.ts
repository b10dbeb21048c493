import { randomBytes, randomUUID } from 'node:crypto';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { createSharedActivities } from '../../src/activities/index.js';
import { claimQueueOf, CODEX_TASK, hostQueueOf } from '../../src/contract/index.js';
import { sharedOptions } from '../../src/temporal/temporal-workers.js';
import { hostsOf } from '../../src/store/collections.js';
import { registerHost, renewHost } from '../../src/store/hosts.js';
import { insertBareSeeds, seedOf, useStore } from '../store/support.js';
import { workflowBundle } from '../support/built-package.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { saveHistory } from './histories.js';
import { useTemporal, type Handle } from './run-task.js';
import { ended, stubs, untilCancelled } from './stub-host.js';

const temporal = useTemporal(connectLocal);
const use = useStore();

const STRANDED = 300;
const SOON_MS = 5_000;
const TTL_MS = 60_000;
/** Of a task up to its wait for a place, and of its looks in the minutes that this test takes. */
const MAX_EVENTS = 130;

/** One living host beside a dead one, the worker of shared steps with its own options, stubs in the place of codex. */
async function openFleet() {
  const taskQueue = `q-${randomBytes(4).toString('hex')}`;
  const [dead, living] = [`dead-${taskQueue}`, `living-${taskQueue}`];
  const { nativeConnection: connection, namespace = 'default', client } = temporal.environment;
  const entry = { listenerUrl: 'http://127.0.0.1:1', version: '0', ttlMs: TTL_MS };
  await registerHost(use.store, { hostId: dead, ...entry });
  const { epoch } = await registerHost(use.store, { hostId: living, ...entry });
  const state = { isDead: false, ends: false, followed: 0, prepared: new Set<string>() };
  const isStranded = () => Context.current().info.workflowExecution!.workflowId.startsWith('stranded-');
  const host = asActivities(
    stubs([], {
      prepareWorkdir: async ({ ref }) => void state.prepared.add(ref.taskId),
      followSession: async () => {
        state.followed++;
        await Promise.race([
          untilCancelled(),
          until('its end', () => (isStranded() ? state.isDead : state.ends), 600_000),
        ]);
        if (!isStranded()) return ended('completed');
        throw ApplicationFailure.nonRetryable('gone', 'HostLost');
      },
    }),
  );
  const shared = createSharedActivities({
    store: use.store,
    leaseTtlMs: TTL_MS,
    hasSearchAttributes: async () => false,
  });
  const common = { connection, namespace };
  const claimHost = async () => ({ hostId: isStranded() ? dead : living, ttlMs: TTL_MS });
  const noLimit = { maxConcurrentActivityTaskExecutions: 1_000 };
  const [claims, ...others] = await Promise.all([
    Worker.create({ ...common, taskQueue: claimQueueOf(taskQueue), activities: { claimHost } }),
    Worker.create({
      ...common,
      taskQueue,
      workflowBundle: await workflowBundle(),
      debugMode: true,
      activities: shared,
      ...sharedOptions(),
    }),
    ...[dead, living].map((hostId) =>
      Worker.create({ ...common, ...noLimit, taskQueue: hostQueueOf(hostId), activities: host }),
    ),
  ]);
  const claiming = claims.run();
  const running = Promise.all(others.map((worker) => worker.run()));
  const renewing = setInterval(() => {
    void renewHost(use.store, { hostId: living, epoch }, TTL_MS).catch(() => undefined);
  }, TTL_MS / 6);
  return {
    state,
    dead,
    start: (name: string, input: object): Promise<Handle> =>
      client.workflow.start(CODEX_TASK, {
        taskQueue,
        workflowId: `${name}-${randomUUID()}`,
        args: [{ mode: 'conversation', ...input }],
      }),
    async fillUp() {
      claims.shutdown();
      await claiming;
    },
    async close() {
      clearInterval(renewing);
      if (claims.getState() === 'RUNNING') claims.shutdown();
      for (const worker of others) worker.shutdown();
      await Promise.all([claiming, running]);
    },
  };
}

const hasLease = async (seedId: string) => Boolean((await seedOf(use.store, seedId)).lease);

it('ends and starts tasks within 5 s while 300 tasks of a lost host wait', async () => {
  const [seedId] = await insertBareSeeds(use.store, 1);
  const fleet = await openFleet();
  const { state } = fleet;
  const seed = { credential: { seedId: seedId! } };
  const stranded: Handle[] = [];
  try {
    const healthy = await fleet.start('healthy', seed);
    await until('its lease', () => hasLease(seedId!));
    for (let i = 0; i < STRANDED; i++)
      stranded.push(await fleet.start('stranded', { credential: { none: true } }));
    await until('all sessions', () => state.followed >= STRANDED + 1, 300_000);

    await fleet.fillUp();
    await hostsOf(use.store).updateOne({ _id: fleet.dead }, { $set: { expiresAt: new Date(0) } });
    state.isDead = true;
    const waits = async (handle: Handle) =>
      (await handle.describe()).raw.pendingActivities?.some(
        ({ activityType }) => activityType?.name === 'claimHost',
      );
    for (const handle of stranded) await until('its wait for a place', () => waits(handle), 300_000);

    state.ends = true;
    let began = performance.now();
    const result = await healthy.result();
    expect(result.outcome).toBe('completed');
    expect(await hasLease(seedId!)).toBe(false);
    expect(performance.now() - began).toBeLessThan(SOON_MS);

    began = performance.now();
    const fresh = await fleet.start('fresh', seed);
    await until('its seed', () => hasLease(seedId!), SOON_MS);
    await until('its wait for a place', () => waits(fresh));
    expect(performance.now() - began).toBeLessThan(SOON_MS);

    const { events } = await stranded[0]!.fetchHistory();
    expect(events!.length).toBeLessThan(MAX_EVENTS);
    await saveHistory(temporal.environment.client, stranded[0]!.workflowId, 'stranded-waiting');
  } finally {
    for (const handle of stranded) await handle.terminate().catch(() => undefined);
    await fleet.close();
  }
}, 900_000);
