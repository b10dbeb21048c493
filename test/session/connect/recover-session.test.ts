import { expect, test } from 'vitest';
import { TaskError } from '../../../src/errors.js';
import { uptimeSeconds, writeDeadline } from '../../../src/process/deadline.js';
import type { HostTask } from '../../../src/session/model/host-tasks.js';
import { noteFenced } from '../../../src/task-folder/fenced-process.js';
import { NO_LOSSES } from '../../../src/task-folder/losses.js';
import { enterLive } from '../../../src/session/connect/recover-session.js';
import { until } from '../../support/until.js';
import { startHeldTurn } from '../held-turn.js';

/** A task whose codex hangs in a turn: what it is asked for it will not do any more. */
async function hanging() {
  const each = await startHeldTurn();
  const task = each.host.tasks.find('t1') as Extract<HostTask, { kind: 'live' }>;
  enterLive(each.host, task);
  process.kill(each.session.record.pid, 'SIGSTOP');
  const die = () => process.kill(each.session.record.pid, 'SIGKILL');
  return { ...each, task, die };
}

test('a Codex that dies during a close is not restarted, and the task ends closed', async () => {
  const { session, host, task, die } = await hanging();
  session.thread.turns.close();
  expect(session.thread.turns.hasEnded).toBe(false);
  die();
  expect(await session.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  expect(host.tasks.find('t1')).toBe(task);
});

test('a Codex that dies during a stop fails with the reason of the stop', async () => {
  const { session, host, task, die } = await hanging();
  host.tasks.noteLost(task.ref, new TaskError('LeaseLost', 'Lease lost on seed s1'));
  task.stopping.abort();
  die();
  expect(await session.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'LeaseLost' });
  expect(host.tasks.find('t1')).toBe(task);
});

test('a Codex that dies at another time is restarted', async () => {
  const { session, host, task, die } = await hanging();
  die();
  await until('another session', () => {
    const now = host.tasks.find('t1');
    return now !== task && now?.kind === 'live' && now.session !== session;
  });
});

test('a Codex stopped by the guard counts as no crash, even after a late renewal', async () => {
  const { host, task, session, die } = await hanging();
  const { folder } = task.prepared;
  // It noted what it stops; the deadline lies ahead again by the time its end is heard of.
  await noteFenced(folder, session.record);
  await writeDeadline(folder.root, uptimeSeconds(), 60_000);
  die();
  const again = await until('another session', () => {
    const now = host.tasks.find('t1');
    return now?.kind === 'live' && now.session !== session ? now : null;
  });
  expect(again.losses).toEqual(NO_LOSSES);
  // Of the one that took its place the note says nothing.
  process.kill(again.session.record.pid, 'SIGKILL');
  const third = await until('a third session', () => {
    const now = host.tasks.find('t1');
    return now?.kind === 'live' && now.session !== again.session ? now : null;
  });
  expect(third.losses).toEqual({ ...NO_LOSSES, alone: 1 });
});
