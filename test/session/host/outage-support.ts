import { readFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { isAlive } from '../../../src/process/process-identity.js';
import { elapse } from '../../support/elapse.js';
import { enterLive } from '../../../src/session/connect/recover-session.js';
import type { HostTask } from '../../../src/session/model/host-tasks.js';
import { watchTask } from '../../../src/session/task/watch-task.js';
import type { SessionReport } from '../../../src/contract/index.js';
import { startMongoProxy, type MongoProxy } from '../../support/mongo-proxy.js';
import { seedOf } from '../../store/support.js';
import { until } from '../../support/until.js';
import { startAccountSession, type AccountSession } from '../account/account-session.js';

/** Short enough for a test, long enough for a busy machine to stop codex in. */
export const TTL_MS = 10_000;

type Live = Extract<HostTask, { kind: 'live' }>;

/** A live task as a worker has it, whose way to the database can be cut. */
export async function liveTask(): Promise<{
  each: AccountSession;
  proxy: MongoProxy;
  live: () => Live | null;
}> {
  let proxy!: MongoProxy;
  const mongoUri = async (uri: string) => (proxy = await startMongoProxy(uri)).uri;
  const each = await startAccountSession({ leaseTtlMs: TTL_MS, mongoUri });
  const { host, task } = each;
  enterLive(host, host.tasks.find('t1') as Live);
  watchTask(host, task.ref, task.lease!);
  const live = () => {
    const found = host.tasks.find('t1');
    return found?.kind === 'live' ? found : null;
  };
  return { each, proxy, live };
}

const reportsOf = ({ signals }: AccountSession) =>
  signals.filter(({ name }) => name === 'sessionChanged').map(({ argument }) => argument as SessionReport);

/** A task goes on by itself after outages of the database that were longer than its lease. */
export async function goesOnAfter(outages: number): Promise<void> {
  const { each, proxy, live } = await liveTask();
  for (let outage = 1; outage <= outages; outage++) {
    const { pid, startTime } = live()!.session.record;
    proxy.cut();
    await each.rotate();
    const rotated = await each.onDisk();
    await until('the end of codex', async () => !(await isAlive({ pid, startTime })), TTL_MS);
    await until('the wait', () => reportsOf(each).at(-1)?.activity === 'recovering');
    await elapse(TTL_MS / 2);
    expect(live()).toBeNull();
    proxy.mend();
    await until('the session', live);
    expect(live()!.session.record.pid).not.toBe(pid);
    expect(await each.inSeed()).toEqual(rotated);
    const leaseEpoch = outage + 1;
    expect(await seedOf(each.store, each.lease.seedId)).toMatchObject({
      leaseEpoch,
      lease: { holder: each.lease.holder },
    });
    // A later worker and the task's workflow know it.
    expect(JSON.parse(await readFile(each.task.folder.taskJson, 'utf8'))).toMatchObject({
      lease: { leaseEpoch },
    });
    await until('its word', () => reportsOf(each).at(-1)?.leaseEpoch === leaseEpoch);
    expect(reportsOf(each).at(-1)).toMatchObject({ activity: 'idle' });
  }
  const revisions = reportsOf(each).map(({ revision }) => revision);
  expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  expect(new Set(revisions).size).toBe(revisions.length);
}
