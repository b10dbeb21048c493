import { mkdir, writeFile } from 'node:fs/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { createHostActivities } from '../../src/activities/host.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import type { Delivery } from '../../src/contract/activities.js';
import { seedsOf } from '../../src/store/collections.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { testFolder } from '../support/folders.js';
import { useStore } from '../store/support.js';
import { openStore } from '../../src/store/open-store.js';

const use = useStore();
const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };

/** Attempts of one step: the answer of the first is lost. */
async function twice<A, R>(step: (argument: A) => Promise<R>, argument: A): Promise<R[]> {
  const workflowExecution = { workflowId: 't1', runId: 'r1' };
  const run = (attempt: number) =>
    new MockActivityEnvironment({ attempt, activityId: '7', workflowExecution }).run<[A], R, typeof step>(
      step,
      argument,
    );
  return [await run(1), await run(2)];
}

it('delivers once, so that a retry does not interrupt the new turn', async () => {
  const done: string[] = [];
  const thread = {
    interrupt: () => Promise.resolve(done.push('interrupt')),
    accept: ({ messageId }: { messageId: string }) => Promise.resolve(done.push(messageId)),
    report: () => ({ revision: done.length }),
  };
  const live = { session: { thread }, prepared: { journal: null } };
  const tasks = { whenLive: () => Promise.resolve(live) };
  const steps = createHostActivities({ tasks, leaseTtlMs: 60_000 } as unknown as HostContext);
  const delivery: Delivery = {
    ref: REF,
    messages: [{ messageId: 'm1', text: 'rather this' }],
    decisions: [],
    answers: [],
    controls: [],
    interrupts: [{ interruptId: 'i1' }],
    close: false,
  };
  const reports = await twice((argument: Delivery) => steps.deliver(argument), delivery);
  expect(done).toEqual(['interrupt', 'm1']);
  expect(reports[1]).toEqual(reports[0]);
});

it('captures a new seed once, though the worker died before its result was known', async () => {
  const dataDir = await testFolder();
  const { codexHome, authJson } = taskFolder(dataDir, 't1');
  await mkdir(codexHome, { recursive: true });
  await writeFile(authJson, JSON.stringify({ OPENAI_API_KEY: 'sk-test-of-no-value' }));
  const argument = { ref: REF, lease: null, pool: 'p', metadata: {} };
  /** A worker on this host that has nothing in memory; the workflow runs the step anew. */
  const capture = async (activityId: string) => {
    const store = await openStore({ uri: use.uri, prefix: use.store.prefix });
    const host = { config: { dataDir }, store, leaseTtlMs: 60_000 } as unknown as HostContext;
    const { captureSeed } = createHostActivities(host);
    try {
      return await new MockActivityEnvironment({ activityId }).run(() => captureSeed(argument));
    } finally {
      await store.close();
    }
  };
  const first = await capture('7');
  expect(first).toMatchObject({ seedId: expect.any(String) as string });
  expect([await capture('7'), await capture('8')]).toEqual([first, first]);
  expect(await seedsOf(use.store).countDocuments({ poolKey: 'p' })).toBe(1);
});

it('takes one snapshot at an end, even for an activity that replaces another', async () => {
  const dataDir = await testFolder();
  const { work, codexHome } = taskFolder(dataDir, 't1');
  for (const path of [work, codexHome]) await mkdir(path, { recursive: true });
  const host = { config: { dataDir }, store: use.store, leaseTtlMs: 60_000, log: pino({ enabled: false }) };
  const steps = createHostActivities(host as unknown as HostContext);
  const settings = { key: 'k', keep: 5, checkpoint: 'end', exclude: null } as const;
  const args = { ref: REF, settings, kind: 'end', endState: 'done', threadId: 't' } as const;
  const workflowExecution = { workflowId: 't1', runId: 'r1' };
  const step = (activityId: string) =>
    new MockActivityEnvironment({ activityId, workflowExecution }).run(() => steps.takeSnapshot(args));
  const [givenUp, next] = await Promise.all([step('7'), step('8')]);
  expect(next).toEqual(givenUp);
  expect(await listSnapshots(use.store, 'k')).toHaveLength(1);
});
