import { expect, it } from 'vitest';
import { watchTask } from '../../../src/session/task/watch-task.js';
import { until } from '../../support/until.js';
import { startAccountSession } from '../account/account-session.js';

it('a task keeps its lease whatever its workflow does, until another gets the seed', async () => {
  const account = await startAccountSession({ leaseTtlMs: 3_000 });
  const { host, task, lease } = account;
  watchTask(host, task.ref, lease);
  expect(host.tasks.isWatched('t1', lease)).toBe(true);
  await account.steal();
  await until('the end of codex', () => host.tasks.find('t1')?.stopping.signal.aborted === true);
  expect(host.tasks.lossOf(task.ref)).toMatchObject({ code: 'LeaseLost' });
  await until('the end of the watch', () => !host.tasks.isWatched('t1', lease));
});
