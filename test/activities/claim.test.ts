import { mkdir } from 'node:fs/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { createClaimActivities } from '../../src/activities/claim.js';
import { createSharedActivities } from '../../src/activities/shared.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { HostTasks, type HostTask } from '../../src/session/model/host-tasks.js';
import { writeTaskManifest } from '../../src/task-folder/task-manifest.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { ACTIVITY_PROTOCOL } from '../../src/contract/activity-protocol.js';
import { registerHost } from '../../src/store/hosts.js';
import { beginAssignment } from '../../src/store/assignments.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { testFolder } from '../support/folders.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { useStore } from '../store/support.js';

const use = useStore();
const STAY = { taskId: 't1', runId: 'r1', assignmentId: 'before' };
const NEXT = { ...STAY, assignmentId: 'next' };
const leaving = new Set<string>();

beforeAll(quietRuntime);

/** A host whose right holds again, on which the database notes the assignment that a workflow takes for lost. */
async function hostWithAssignment() {
  leaving.clear();
  const tasks = new HostTasks(1);
  const host = {
    config: { dataDir: await testFolder() },
    store: use.store,
    hostId: 'h1',
    leaseTtlMs: 60_000,
    log: pino({ enabled: false }),
    hostLease: { isHeld: () => true, isToEvict: (assignmentId: string) => leaving.has(assignmentId) },
    tasks,
  } as unknown as HostContext;
  await beginAssignment(use.store, { ...STAY, hostId: 'h1', ordinal: 0 });
  const claim = () =>
    new MockActivityEnvironment().run(() =>
      createClaimActivities(host).claimHost({ ...NEXT, protocol: ACTIVITY_PROTOCOL }),
    );
  return { host, tasks, claim };
}

const live = (tasks: HostTasks) =>
  tasks.set({ kind: 'live', ref: STAY, stopping: new AbortController() } as unknown as HostTask);

describe('an assignment in the database', () => {
  it('is shown to a reset run, with the time that leases last on its host', async () => {
    await hostWithAssignment();
    await registerHost(use.store, { hostId: 'h1', listenerUrl: '', version: '', ttlMs: 20_000 });
    const hasSearchAttributes = () => Promise.resolve(false);
    const steps = createSharedActivities({
      store: use.store,
      leaseTtlMs: 60_000,
      hasSearchAttributes,
    });
    const acquired = await new MockActivityEnvironment().run(() =>
      steps.acquireLease({ ref: NEXT, credential: { none: true } }),
    );
    expect(acquired).toMatchObject({ kind: 'held', by: STAY, hostId: 'h1', ttlMs: 20_000 });
  });

  it('continues when its host is back and claims it from the waiting workflow', async () => {
    const { tasks, claim } = await hostWithAssignment();
    live(tasks);
    expect(await claim()).toEqual({ hostId: 'h1', ttlMs: 60_000 });
    expect(tasks.find('t1')).toMatchObject({ kind: 'live', ref: STAY });
  });

  it('takes no place while its host evicts it or has not adopted it', async () => {
    const { host, tasks, claim } = await hostWithAssignment();
    const folder = taskFolder(host.config.dataDir, 't1');
    await mkdir(folder.root, { recursive: true });
    const spec = parseTaskInput({}, 't1');
    await writeTaskManifest(folder, { ref: STAY, spec, lease: null, begunAt: new Date().toISOString() });
    await expect(claim()).rejects.toMatchObject({ type: 'Unavailable' });
    live(tasks);
    leaving.add('before');
    await expect(claim()).rejects.toMatchObject({ type: 'Unavailable' });
  });
});
