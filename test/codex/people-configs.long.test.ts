import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'smol-toml';
import { beforeAll, expect, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { renderConfig, type ConfigInput } from '../../src/codex/config-toml.js';
import { faultIn } from '../../src/codex/strict-launch.js';
import { isTable, type TomlTable } from '../../src/codex/toml-values.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { PEOPLE_CONFIGS } from './people-configs.js';
import { testTask } from './test-codex.js';

let codex = '';
beforeAll(async () => {
  codex = (await findCodex()).path;
});

const names = Object.keys(PEOPLE_CONFIGS);

test('covers fifty configs', () => {
  expect(names.length).toBeGreaterThanOrEqual(50);
});

/** What a task would say of a rendered file with which codex does not start; null: it does. */
async function refusal(toml: string, codexHome: string, ...flags: string[]): Promise<string | null> {
  await writeFile(join(codexHome, 'config.toml'), toml);
  const env = { PATH: process.env['PATH'], HOME: codexHome, CODEX_HOME: codexHome };
  const args = ['app-server', ...flags, '--print-startup-config'];
  const stdout = await new Promise<string>((resolve) => {
    execFile(codex, args, { env, timeout: 30_000 }, (_, text) => resolve(text));
  });
  const said = JSON.parse(stdout.trim().split('\n')[0]!) as { error?: { message: string } };
  if (!said.error) return null;
  const fault = faultIn(said.error.message.replace('failed to load configuration: ', 'Error: '), toml);
  return fault ? `${fault.path.join('.')}: ${fault.what}` : said.error.message;
}

async function render(input: Partial<ConfigInput>) {
  const task = await testTask();
  const warnings: string[] = [];
  const toml = renderConfig({ dataDir: task.dataDir, workDir: task.work, ...input, warnings });
  return { toml, config: parse(toml), warnings, codexHome: task.codexHome };
}

/** The paths of all values, keys as they stand. */
function leaves(
  table: TomlTable,
  path: readonly string[] = [],
): { path: readonly string[]; value: unknown }[] {
  return Object.entries(table).flatMap(([key, value]) =>
    isTable(value) ? leaves(value, [...path, key]) : [{ path: [...path, key], value }],
  );
}

const at = (table: unknown, path: readonly string[]): unknown =>
  path.reduce((value: unknown, key) => (isTable(value) ? value[key] : undefined), table);

/** Whether a text names a key or a value of it. */
const isNamedIn = (table: TomlTable, text: string) =>
  leaves(table).some(({ path, value }) =>
    [...path, value].some((each) => each !== '' && text.includes(String(each))),
  );

function tableOf(name: string): TomlTable | null {
  try {
    return parse(PEOPLE_CONFIGS[name]!.replace(/^\ufeff/, ''));
  } catch {
    return null;
  }
}

test.each(names)('codex starts with a seed that has %s, and names what it dropped', async (name) => {
  const given = tableOf(name);
  const rendered = render({ seedConfigToml: PEOPLE_CONFIGS[name]! });
  if (given === null)
    return expect(rendered).rejects.toThrow(/config\.toml of the seed .* no TOML \(line \d/);
  const { toml, config, warnings, codexHome } = await rendered;
  const said = warnings.join('\n');
  for (const { path, value } of leaves(given)) {
    const isTaken = isDeepStrictEqual(at(config, path), value);
    const isNamed = path.some(
      (_, i) => said.includes(path.slice(0, i + 1).join('.')) || said.includes(path[i]!),
    );
    expect(isTaken || isNamed, `${path.join('.')} is neither taken nor named: ${said}`).toBe(true);
  }
  const why = await refusal(toml, codexHome);
  // A value that was taken, and that codex does not take.
  if (why !== null) expect(isNamedIn(given, why), why).toBe(true);
});

test.each(names)('codex starts with codexConfig %s, or the key is named', async (name) => {
  const given = tableOf(name);
  if (given === null) return;
  let refused: string | null = null;
  try {
    parseTaskInput({ codexConfig: JSON.parse(JSON.stringify(given)) as object }, 't');
  } catch (error) {
    refused = (error as Error).message;
  }
  if (refused === null) {
    const { toml, codexHome } = await render({ codexConfig: given });
    refused = await refusal(toml, codexHome, '--strict-config');
  }
  if (refused !== null) expect(isNamedIn(given, refused), refused).toBe(true);
});
