import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/dev/package-root.js';
import { timeSkippingServer } from '../../src/dev/temporal/time-skipping.js';
import { buildPackage } from '../support/built-package.js';
import { testFolder } from '../support/folders.js';
import { stackOptions } from '../support/shared-servers.js';

it('the program of docs/testing.md runs its tests without Codex, database or listener', async () => {
  const page = await readFile(join(packageRoot, 'docs/testing.md'), 'utf8');
  const [[, program = ''] = []] = page.matchAll(/^```ts\n([\s\S]*?)^```$/gm);
  const folder = await testFolder();
  await buildPackage(folder);
  const file = join(folder, 'example.mjs');
  await writeFile(file, program);
  const server = await timeSkippingServer(stackOptions('', new AbortController().signal));
  const env = { PATH: process.env['PATH'], HOME: folder, TEMPORAL_TEST_SERVER: server };
  const { stdout } = await promisify(execFile)(process.execPath, [file], { env });
  // The SDK’s own warnings go there too.
  expect(stdout.trimEnd().split('\n').at(-1)).toBe('approved, parked for five hours, merged');
});
