import { expect, it } from 'vitest';
import { watchMeanwhile } from '../../src/session/watch-task.js';
import { until } from '../support/until.js';
import { startAccountSession } from './account/account-session.js';

it('a task that no step of a workflow watches keeps its lease, until it is lost: then codex stops', async () => {
  const account = await startAccountSession({ leaseTtlMs: 3_000 });
  const { host, task, lease } = account;
  watchMeanwhile(host, task.ref, lease);
  expect(host.tasks.isWatched('t1')).toBe(true);
  await account.steal();
  await until('the end of codex', () => host.tasks.find('t1')?.stopping.signal.aborted === true);
  expect(host.tasks.lossOf(task.ref)).toMatchObject({ code: 'LeaseLost' });
  await until('the end of the watch', () => !host.tasks.isWatched('t1'));
  watchMeanwhile(host, task.ref, lease);
  expect(host.tasks.isWatched('t1')).toBe(false);
}, 60_000);
