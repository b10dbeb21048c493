import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { setImmediate as pass } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, test } from 'vitest';
import type { DrainMode } from '../../../src/config.js';
import { streamedMessage } from '../../../src/dev/model-server.js';
import { drainSessions } from '../../../src/session/host/drain-sessions.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { taskFolder, type TaskFolder } from '../../../src/task-folder/task-folder.js';
import { restoreTask } from '../../../src/session/task/restore-task.js';
import type { TaskRef } from '../../../src/contract/activities.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { findCheckpoint } from '../../../src/store/task-state.js';
import { testFolder } from '../../support/folders.js';
import { startMongoProxy, type MongoProxy } from '../../support/mongo-proxy.js';
import { until } from '../../support/until.js';
import { seedOf } from '../../store/support.js';
import { startHeldTurn, type HeldTurn } from '../held-turn.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const never = new AbortController().signal;
const TEN_MINUTES_MS = 540_000;

/** A host with a place that was claimed and no codex. */
function hostWithClaim(isRunning: () => Promise<boolean> = () => Promise.resolve(false)) {
  const tasks = new HostTasks(4);
  tasks.claim(REF);
  const host = {
    tasks,
    config: { drainWaitMs: 600_000 },
    log: pino({ enabled: false }),
    isRunning,
  } as unknown as HostContext;
  /** Whether the worker has begun to let go of its tasks, once all that can happen now has. */
  const isLeaving = async () => {
    for (let n = 0; n < 10; n++) await pass();
    return tasks.detached.aborted;
  };
  return { host, tasks, isLeaving };
}

test.each<DrainMode>(['detach', 'wait', 'move', 'stop'])(
  'a drain by %s grants no further place',
  async (mode) => {
    const { host, tasks } = hostWithClaim();
    const hurry = new AbortController();
    const drained = drainSessions(host, mode, hurry.signal);
    expect([tasks.isDraining, tasks.hasRoom(0)]).toEqual([true, false]);
    hurry.abort();
    await drained;
    expect(tasks.detached.reason).toMatchObject({ code: 'HostDetached' });
    tasks.remove('t1');
  },
);

describe('with wait', () => {
  it('tasks run on until each has left', async () => {
    const { host, tasks, isLeaving } = hostWithClaim();
    tasks.claim({ taskId: 't2', runId: 'r1', assignmentId: 's' });
    const drained = drainSessions(host, 'wait', never);
    expect(await isLeaving()).toBe(false);
    tasks.remove('t1');
    expect(await isLeaving()).toBe(false);
    tasks.remove('t2');
    await drained;
    expect(tasks.detached.aborted).toBe(true);
  });

  it('the worker waits for the last activity of a workflow whose task has left', async () => {
    let say: (isRunning: boolean) => void = () => undefined;
    const { host, tasks, isLeaving } = hostWithClaim(() => new Promise((resolve) => (say = resolve)));
    const drained = drainSessions(host, 'wait', never);
    tasks.remove('t1');
    expect(await isLeaving()).toBe(false);
    say(false);
    await drained;
    expect(tasks.detached.aborted).toBe(true);
  });

  it.each([
    ['the second signal', (_host: HostContext, hurry: AbortController) => hurry.abort()],
    ['its time', (host: HostContext) => Object.assign(host.config, { drainWaitMs: 20 })],
  ])('the worker stops waiting after %s', async (_what, arrange) => {
    const { host, tasks } = hostWithClaim();
    const hurry = new AbortController();
    arrange(host, hurry);
    await drainSessions(host, 'wait', hurry.signal);
    expect(tasks.find('t1')).toMatchObject({ kind: 'claimed' });
    tasks.remove('t1');
  });
});

/** The right to run the task, and its account, stay for the next worker. */
async function expectKept(each: HeldTurn): Promise<void> {
  expect(await each.leftMs()).toBeGreaterThan(TEN_MINUTES_MS);
  expect(await each.deadlineIn()).toBeGreaterThan(TEN_MINUTES_MS / 1000);
  expect(each.host.tasks.find('t1')).toBeDefined();
  expect(existsSync(each.task.folder.taskJson)).toBe(true);
}

describe('with detach', () => {
  it('Codex continues its turn, and its refreshed token is in the seed', async () => {
    const each = await startHeldTurn();
    await each.rotate();
    await drainSessions(each.host, 'detach', never);
    expect(await each.lives()).toBe(true);
    expect(await each.isSaved()).toBe(true);
    await expectKept(each);
    expect((await each.written()).map(({ t }) => t)).not.toContain('suspended');
  });

  it('Codex stops when another has taken its lease', async () => {
    const each = await startHeldTurn();
    await each.rotate();
    await each.steal();
    await drainSessions(each.host, 'detach', never);
    expect(await each.lives()).toBe(false);
    expect(await listQuarantine(each.store, each.lease.seedId)).toHaveLength(1);
  });

  it('Codex stops soon when another took its lease while the model spoke', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    onTestFinished(() => release());
    async function* pieces() {
      yield 'first';
      await held;
      yield 'last';
    }
    const each = await startHeldTurn({ script: () => () => [streamedMessage(pieces())] });
    await each.saw('item/agentMessage/delta');
    await each.steal();
    const began = performance.now();
    await drainSessions(each.host, 'detach', never);
    // A refresh is waited for as long as 15 s.
    expect(performance.now() - began).toBeLessThan(12_000);
    expect(await each.lives()).toBe(false);
  });

  it('a silent database delays the end of the worker for a moment only', async () => {
    let proxy!: MongoProxy;
    const mongoUri = async (uri: string) => (proxy = await startMongoProxy(uri)).uri;
    const each = await startHeldTurn({ mongoUri });
    await each.rotate();
    proxy.freeze();
    await drainSessions(each.host, 'detach', never);
    expect(await each.lives()).toBe(true);
    proxy.mend();
    await until('what it refreshed', () => each.isSaved());
  });
});

/** Codex has stopped in its turn, which is to be done again. */
async function expectSuspended(each: HeldTurn): Promise<void> {
  expect(await each.lives()).toBe(false);
  expect(await each.isSaved()).toBe(true);
  const written = await each.written();
  expect(written).toContainEqual({ t: 'suspended', turnId: each.turnId });
}

it('a drain by stop interrupts the turn, saves the token and lets the next worker resume', async () => {
  const each = await startHeldTurn();
  await each.rotate();
  await drainSessions(each.host, 'stop', never);
  await expectSuspended(each);
  // Or the next worker takes it for a codex that died.
  expect((await each.written()).at(-1)).toEqual({ t: 'stopped' });
  await expectKept(each);
});

describe('with move', () => {
  /** Gone from here and whole for another host, its account with it. */
  async function expectMoved(each: HeldTurn): Promise<void> {
    const { host, store, task, lease } = each;
    expect(await each.lives()).toBe(false);
    expect(each.told('taskEvicted')).toEqual(['taskEvicted']);
    expect(host.tasks.size).toBe(0);
    expect(existsSync(task.folder.root)).toBe(false);
    expect(await findCheckpoint(store, 't1', 'r1')).toMatchObject({ checkpoint: { isWhole: true } });
    const seed = await seedOf(store, lease.seedId);
    expect([seed.lease?.holder, seed.leaseEpoch]).toEqual([lease.holder, lease.leaseEpoch]);
  }

  /** Where the next host puts the task. */
  async function emptyFolder(): Promise<TaskFolder> {
    const folder = taskFolder(await testFolder(), 't1');
    for (const path of [folder.work, folder.codexHome, folder.journal])
      await mkdir(path, { recursive: true });
    return folder;
  }

  const hasEnded = (each: HeldTurn) => Object.assign(each.host, { isRunning: () => Promise.resolve(false) });

  it('a task moves at the end of its turn and not during it', async () => {
    const each = await startHeldTurn();
    hasEnded(each);
    await each.rotate();
    const rotated = await each.onDisk();
    const drained = drainSessions(each.host, 'move', never);
    await each.send('for the next host');
    expect(each.session.thread.turns.runningId).toBe(each.turnId);
    each.release();
    await drained;
    await expectMoved(each);
    expect(await each.inSeed()).toEqual(rotated);
    expect(each.session.thread.report()).toMatchObject({ turns: 1 });
  });

  it('the worker does not wait for the workflow of a task that has moved', async () => {
    const each = await startHeldTurn();
    const asked: string[] = [];
    const isRunning = ({ taskId }: TaskRef) => Promise.resolve(asked.push(taskId) > 0);
    Object.assign(each.host, { isRunning });
    const drained = drainSessions(each.host, 'move', never);
    each.release();
    await drained;
    await expectMoved(each);
    expect(asked).toEqual([]);
  });

  it('the second signal moves a task during its turn, which is repeated elsewhere', async () => {
    const each = await startHeldTurn();
    hasEnded(each);
    const hurry = new AbortController();
    const drained = drainSessions(each.host, 'move', hurry.signal);
    hurry.abort();
    await drained;
    await expectMoved(each);
    const next = await emptyFolder();
    await restoreTask(each.host, REF, each.task.spec, next);
    expect(await readFile(next.ledger, 'utf8')).toContain(`{"t":"suspended","turnId":"${each.turnId}"}`);
  });

  it('a task that ended with its turn is left to its workflow', async () => {
    const each = await startHeldTurn({ input: { mode: 'task' } });
    hasEnded(each);
    const drained = drainSessions(each.host, 'move', never);
    each.release();
    await until('the end', () => each.session.thread.turns.hasEnded);
    for (let n = 0; n < 10; n++) await pass();
    expect(each.host.tasks.find('t1')?.stopping.signal.aborted).toBe(false);
    await each.session.stop();
    each.host.tasks.remove('t1');
    await drained;
    expect(each.told('taskEvicted')).toEqual([]);
  });

  it('the second signal stops an ended task whose workflow does not come', async () => {
    const each = await startHeldTurn({ input: { mode: 'task' } });
    hasEnded(each);
    const hurry = new AbortController();
    const drained = drainSessions(each.host, 'move', hurry.signal);
    each.release();
    await until('the end', () => each.session.thread.turns.hasEnded);
    hurry.abort();
    await drained;
    expect(await each.lives()).toBe(false);
    expect(each.told('taskEvicted')).toEqual([]);
    await expectKept(each);
  });
});
