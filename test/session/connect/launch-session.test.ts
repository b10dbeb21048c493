import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { endSession } from '../../../src/session/task/end-task.js';
import { launchSession } from '../../../src/session/connect/launch-session.js';
import { writeDeadline, uptimeSeconds } from '../../../src/process/deadline.js';
import { testFolder } from '../../support/folders.js';
import { startAccountSession } from '../account/account-session.js';

it('a failed start counts as Codex’s own fault, unless its worker stood still', async () => {
  const { host, task } = await startAccountSession();
  await endSession(host, task.ref, { atOnce: true });
  const never = new AbortController().signal;
  const broken = { ...host, codex: { ...host.codex, path: '/bin/false' } };
  await expect(launchSession(broken, task, never)).rejects.toMatchObject({ code: 'CodexFailed' });
  const slow = { ...broken, leaseTtlMs: 0 };
  await expect(launchSession(slow, task, never)).rejects.toMatchObject({ code: 'Unavailable' });
});

it('a Codex that the guard stops during its start is not at fault, renewed or not', async () => {
  const { host, task } = await startAccountSession();
  await endSession(host, task.ref, { atOnce: true });
  // Notes itself as the guard does, which stops what is on record, and ends.
  const path = join(await testFolder(), 'codex');
  const isKnown = 'grep -qE "\\"pid\\": ?$$\\b" "$CODEX_HOME/../../process.json"';
  const script =
    `until ${isKnown}; do sleep 0.05; done\n` +
    'set -- $(cat /proc/$$/stat)\necho "$$ ${22}" > "$CODEX_HOME/../../fenced"';
  await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
  const stopped = { ...host, codex: { ...host.codex, path } };
  await expect(launchSession(stopped, task, new AbortController().signal)).rejects.toMatchObject({
    code: 'Unavailable',
  });
});

it('Codex does not start on a lease that another holder has taken', async () => {
  const account = await startAccountSession();
  const { host, task } = account;
  await account.steal();
  await writeDeadline(task.folder.root, uptimeSeconds() - 120, 60_000);
  const never = new AbortController().signal;
  await expect(launchSession(host, task, never)).rejects.toMatchObject({ code: 'LeaseLost' });
});
