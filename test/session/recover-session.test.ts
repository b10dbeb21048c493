import { expect, test } from 'vitest';
import { TaskError } from '../../src/errors.js';
import type { HostTask } from '../../src/session/host-tasks.js';
import { enterLive } from '../../src/session/recover-session.js';
import { until } from '../support/until.js';
import { startHeldTurn } from './held-turn.js';

/** A task whose codex hangs in a turn: what it is asked for it will not do any more. */
async function hanging() {
  const each = await startHeldTurn();
  const task = each.host.tasks.find('t1') as Extract<HostTask, { is: 'live' }>;
  enterLive(each.host, task);
  process.kill(each.session.record.pid, 'SIGSTOP');
  const die = () => process.kill(each.session.record.pid, 'SIGKILL');
  return { ...each, task, die };
}

test('a codex that dies while its task is being closed is not started again: the task ends closed', async () => {
  const { session, host, task, die } = await hanging();
  await session.conversation.close();
  expect(session.conversation.hasEnded).toBe(false);
  die();
  expect(await session.conversation.whenEnded()).toEqual({ kind: 'closed' });
  expect(host.tasks.find('t1')).toBe(task);
}, 60_000);

test('a codex that dies while its task is being stopped fails with the reason for that, and is not started again', async () => {
  const { session, host, task, die } = await hanging();
  host.tasks.noteLost(task.ref, new TaskError('LeaseLost', 'Lease lost on seed s1'));
  task.stopping.abort();
  die();
  expect(await session.conversation.whenEnded()).toMatchObject({ kind: 'failed', code: 'LeaseLost' });
  expect(host.tasks.find('t1')).toBe(task);
}, 60_000);

test('a codex that dies otherwise is started again', async () => {
  const { session, host, task, die } = await hanging();
  die();
  await until('another session', () => {
    const now = host.tasks.find('t1');
    return now !== task && now?.is === 'live' && now.session !== session;
  });
}, 60_000);
