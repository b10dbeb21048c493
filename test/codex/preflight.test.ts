import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { checkSandbox } from '../../src/codex/preflight.js';
import { testFolder } from '../support/folders.js';
import { startTestCodex } from './test-codex.js';

test('a machine without user namespaces is unfit, with what to do', async () => {
  const binary = join(await testFolder(), 'codex');
  const codexBinary = (await findCodex()).path;
  // In a user namespace whose own limit is zero codex cannot make the one its sandbox needs.
  const inside = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
  await writeFile(binary, `#!/bin/sh\nexec unshare -U -r sh -c '${inside}' sh ${codexBinary} "$@"\n`);
  await chmod(binary, 0o755);
  const codex = await startTestCodex({ binary });
  await expect(checkSandbox(codex.rpc, codex)).rejects.toMatchObject({
    code: 'HostUnfit',
    message: expect.stringMatching(
      /^codex's sandbox cannot start \(.*namespace.*\); allow unprivileged user namespaces .*danger-full-access$/,
    ) as string,
  });
});

test('a sandbox that shows codex’s home makes the host unfit', async () => {
  const results = [
    { exitCode: 0, stdout: '', stderr: '' },
    { exitCode: 0, stdout: 'model = "x"', stderr: '' },
  ];
  const leaky = { call: () => Promise.resolve(results.shift()!) };
  await expect(checkSandbox(leaky, { work: '/w', codexHome: '/h' })).rejects.toMatchObject({
    code: 'HostUnfit',
    message: expect.stringContaining('does not hold') as string,
  });
});

test('a readable place that vanishes during startup does not make the host unfit', async () => {
  const gone = "bwrap: Can't get type of source /srv/other: No such file or directory";
  const results = [
    { exitCode: 1, stdout: '', stderr: gone },
    { exitCode: 0, stdout: '', stderr: '' },
    { exitCode: 1, stdout: '', stderr: '' },
  ];
  const codex = { call: () => Promise.resolve(results.shift()!) };
  await checkSandbox(codex, { work: '/w', codexHome: '/h' });
  expect(results).toEqual([]);
});

test('a check without the task’s profile fails', async () => {
  const codex = await startTestCodex({ config: () => ({ sandbox: { mode: 'danger-full-access' } }) });
  await expect(checkSandbox(codex.rpc, codex)).rejects.toThrow();
});
