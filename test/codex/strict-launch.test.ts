import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { childEnvironment } from '../../src/codex/child-environment.js';
import { renderConfig } from '../../src/codex/config-toml.js';
import { launchStrictly } from '../../src/codex/strict-launch.js';
import { stopProcess } from '../../src/process/stop-process.js';
import { testTask } from './test-codex.js';

/** Starts the real codex with these settings; the warnings of a start that went well. */
async function start(codexConfig: Record<string, unknown>, seedConfigToml = ''): Promise<string[]> {
  const task = await testTask();
  const { dataDir, work, home, codexHome, socket, logFile } = task;
  const configToml = join(codexHome, 'config.toml');
  await writeFile(configToml, renderConfig({ dataDir, workDir: work, codexConfig, seedConfigToml }));
  const warnings: string[] = [];
  const server = await launchStrictly({
    binary: (await findCodex()).path,
    workDir: work,
    socketPath: socket,
    logFile,
    env: childEnvironment({ workerEnv: process.env, home, codexHome }),
    configToml,
    codexConfig,
    warnings,
  });
  onTestFinished(async () => {
    await stopProcess(server, { codexHome, socketPath: socket, graceMs: 200 });
  });
  return warnings;
}

test.each<[string, Record<string, unknown>, RegExp]>([
  ['an unknown setting', { no_such_setting: 1 }, /codexConfig\.no_such_setting: .*does not know/],
  [
    'one of a table with an odd name',
    { mcp_servers: { 'a/b': { command: 'x', argz: ['y'] } } },
    /codexConfig\.mcp_servers\.a\/b\.argz/,
  ],
  [
    'a value of the wrong type',
    { model_providers: { x: { name: 'x', base_url: 3 } } },
    /codexConfig\.model_providers\.x\.base_url: .*invalid type: integer/,
  ],
  ['a provider that is not there', { model_provider: 'nope' }, /codexConfig\.model_provider: .*nope/],
])('%s of codexConfig is bad input that names it', async (_name, codexConfig, message) => {
  await expect(start(codexConfig)).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(message) as unknown,
  });
});

test('settings that codex knows cause no warning', async () => {
  expect(await start({ model_reasoning_summary: 'none', mcp_servers: {} })).toEqual([]);
});

test('a setting of a seed that codex does not know is a warning, and codex starts', async () => {
  expect(await start({ model: 'gpt-5.5' }, 'tui.left_by_an_older_codex = 1\n')).toEqual([
    'codex does not know tui.left_by_an_older_codex of the seed’s config.toml',
  ]);
});

test.each<[string, Record<string, unknown>]>([
  ['alone', {}],
  ['beside settings of the task', { model_reasoning_summary: 'none' }],
])('a seed’s value that codex refuses, %s, is bad input that names its setting', async (_, config) => {
  await expect(start(config, 'model_context_window = "large"\n')).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(
      /config\.toml of the seed or snapshot: model_context_window: .*invalid type/,
    ) as unknown,
  });
});
