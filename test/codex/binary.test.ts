import { access, chmod, constants, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { testFolder } from '../support/folders.js';

test('the packaged codex is a native executable, not a script', async () => {
  const { path, version } = await findCodex();
  await access(path, constants.X_OK);
  expect(path).toMatch(/\/vendor\/[^/]+\/bin\/codex$/);
  expect(version).toBe('0.171.0');
});

test('CODEX_TASK_CODEX_BIN selects another codex, which reports its version', async () => {
  const path = join(await testFolder(), 'codex');
  await writeFile(path, '#!/bin/sh\necho codex-cli 0.170.1\n');
  await chmod(path, 0o755);
  expect(await findCodex({ CODEX_TASK_CODEX_BIN: path })).toEqual({ path, version: '0.170.1' });
});

test('a binary that does not run or is no codex makes the host unfit', async () => {
  for (const [path, message] of [
    ['/nowhere/codex', /codex at \/nowhere\/codex does not run: .*ENOENT/],
    ['/bin/echo', /\/bin\/echo is no codex/],
  ] as const) {
    const found = findCodex({ CODEX_TASK_CODEX_BIN: path });
    await expect(found).rejects.toMatchObject({
      code: 'HostUnfit',
      message: expect.stringMatching(message) as string,
    });
  }
});

test('any system but Linux is refused, with what works there', async () => {
  for (const platform of ['darwin', 'win32'] as const)
    await expect(findCodex({ CODEX_TASK_CODEX_BIN: '/bin/true' }, platform)).rejects.toMatchObject({
      code: 'HostUnfit',
      message: expect.stringMatching(new RegExp(`Linux only, this is ${platform}: .*clients`)) as string,
    });
});
