import { expect, it } from 'vitest';
import { endSession } from '../../src/session/end-task.js';
import { launchSession } from '../../src/session/launch-session.js';
import { writeDeadline, uptimeSeconds } from '../../src/host/deadline.js';
import { startAccountSession } from './account/account-session.js';

it('a codex that does not start is a fault of its own, unless its worker stood still for longer than its lease', async () => {
  const { host, task } = await startAccountSession();
  await endSession(host, task.ref, { atOnce: true });
  const never = new AbortController().signal;
  const broken = { ...host, codex: { ...host.codex, path: '/bin/false' } };
  await expect(launchSession(broken, task, never)).rejects.toMatchObject({ code: 'CodexFailed' });
  const slow = { ...broken, leaseTtlMs: 0 };
  await expect(launchSession(slow, task, never)).rejects.toMatchObject({ code: 'Unavailable' });
}, 60_000);

it('no codex starts on a lease that nobody renewed and another has', async () => {
  const account = await startAccountSession();
  const { host, task } = account;
  await account.steal();
  await writeDeadline(task.folder.root, uptimeSeconds() - 120, 60_000);
  const never = new AbortController().signal;
  await expect(launchSession(host, task, never)).rejects.toMatchObject({ code: 'LeaseLost' });
}, 60_000);
