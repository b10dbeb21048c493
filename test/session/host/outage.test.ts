import { expect, test } from 'vitest';
import { isAlive } from '../../../src/process/process-identity.js';
import { until } from '../../support/until.js';
import { goesOnAfter, liveTask, TTL_MS } from './outage-support.js';

test('a task resumes by itself after an outage longer than its lease', () => goesOnAfter(1), 60_000);

test('a seed leased to another in an outage ends its task with LeaseLost', async () => {
  const { each, proxy } = await liveTask();
  const { pid, startTime } = each.session.record;
  await each.rotate();
  proxy.cut();
  await until('the end of codex', async () => !(await isAlive({ pid, startTime })), TTL_MS);
  await each.steal();
  proxy.mend();
  const { host, task } = each;
  const failed = () => {
    const found = host.tasks.find('t1');
    return found?.kind === 'recovering' && (found.failed ?? host.tasks.lossOf(task.ref));
  };
  expect(await until('the loss', failed)).toMatchObject({ code: 'LeaseLost' });
});
