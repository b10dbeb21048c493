import { mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheFolder } from '../../src/dev/cache-folder.js';
import { buildPackage } from '../support/built-package.js';
import { testFolder } from '../support/folders.js';
import { findLeftovers } from '../support/leftovers.js';
import { runCli } from './run-cli.js';

/** A cache whose downloads and builds are the real one's, with an empty place for what the demo makes. */
async function ownCache(): Promise<{ XDG_CACHE_HOME: string; ephemeral: string }> {
  const XDG_CACHE_HOME = await testFolder();
  const ephemeral = join(XDG_CACHE_HOME, 'codex-task', 'ephemeral');
  await mkdir(ephemeral, { recursive: true });
  const real = cacheFolder(process.env);
  for (const name of await readdir(real))
    if (name !== 'ephemeral') await symlink(join(real, name), join(XDG_CACHE_HOME, 'codex-task', name));
  return { XDG_CACHE_HOME, ephemeral };
}

test('the demo shows a whole task and leaves nothing', { timeout: 180_000 }, async () => {
  const { XDG_CACHE_HOME, ephemeral } = await ownCache();
  const folder = await testFolder();
  await buildPackage(folder);
  const env = { XDG_CACHE_HOME, TEMPORAL_ADDRESS: '', MONGODB_URI: '', OPENAI_API_KEY: '' };
  const { code, stdout, stderr } = await runCli(folder, ['demo', '--json'], { env });
  expect(code, `${stdout}${stderr}`).toBe(0);

  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { id?: number; step?: string; [field: string]: unknown });
  const steps = lines.filter(({ step }) => step !== undefined);
  expect(steps.map(({ step }) => step)).toEqual(
    'Temporal MongoDB Worker Model Seed Task Permission Result History Events Done'.split(' '),
  );
  const { seedId } = steps[4] as { seedId?: string };
  expect(steps[7]).toMatchObject({
    result: {
      outcome: 'completed',
      turns: 1,
      capturedSeedId: seedId,
      finalMessage: expect.stringMatching(/^Done/) as string,
    },
  });
  const ids = lines.flatMap(({ id }) => id ?? []);
  expect(ids).toEqual(ids.map((_, i) => i + 1));

  expect(await findLeftovers([ephemeral])).toEqual([]);
  expect(await readdir(ephemeral)).toEqual([]);
});
