import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { SandboxMode } from '../../src/contract/index.js';
import { startTestCodex, type Received } from './test-codex.js';

test.each<[SandboxMode, string]>([
  ['workspace-write', 'task'],
  ['read-only', 'task'],
  ['danger-full-access', ':danger-full-access'],
])('codex knows every setting that is written for %s', async (mode, profile) => {
  const codex = await startTestCodex({
    // Codex ends at its start on a setting it does not know.
    args: ['--strict-config'],
    workerEnv: { MODEL_KEY: 'key' },
    apiKeyEnv: 'MODEL_KEY',
    config: async ({ dataDir }) => {
      await mkdir(join(dataDir, 'shared'));
      const grants = [{ path: join(dataDir, 'shared'), access: 'ro' as const }];
      return { sandbox: { mode, network: true, grants }, env: { A: 'b' }, model: 'gpt-5.5', effort: 'high' };
    },
  });
  const warnings = codex.received.filter(({ method }) => method === 'configWarning').map(warningText);
  // Codex brings its own bubblewrap, and says so where the system has none.
  expect(warnings.filter((summary) => !summary.includes('bubblewrap'))).toEqual([]);
  const { activePermissionProfile } = (await codex.rpc.call(
    'thread/start',
    { cwd: codex.work },
    { timeoutMs: 10_000 },
  )) as { activePermissionProfile: { id: string } };
  expect(activePermissionProfile.id).toBe(profile);
});

test('a setting that codex does not know fails a strict start', async () => {
  const codex = startTestCodex({
    args: ['--strict-config'],
    config: () => ({ codexConfig: { no_such_setting: 1 } }),
  });
  await expect(codex).rejects.toThrow(/no_such_setting/);
});

const warningText = ({ params }: Received) => (params as { summary: string }).summary;
