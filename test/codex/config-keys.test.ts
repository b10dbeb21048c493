import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'smol-toml';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { renderConfig, type ConfigInput } from '../../src/codex/config-toml.js';
import { FEATURES_OF_WORKER } from '../../src/input/config-keys.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { makeFolder } from '../support/folders.js';
import { CONFIG_SAMPLES, KNOWN_FEATURES } from './config-samples.js';
import { testTask, type TestTask } from './test-codex.js';

let task: TestTask;
beforeEach(async () => {
  task = await testTask();
});

function render(input: Partial<ConfigInput>) {
  const warnings: string[] = [];
  const toml = renderConfig({ dataDir: task.dataDir, workDir: task.work, ...input, warnings });
  return { config: parse(toml), toml, warnings };
}

const plain = () => render({}).config;

/** What the pinned codex says of itself. */
const said = { keys: [] as string[], features: [] as string[], strict: '' };
beforeAll(async () => {
  const folder = await makeFolder();
  const { path: codex } = await findCodex(process.env);
  const env = { PATH: process.env['PATH'], HOME: folder.path, CODEX_HOME: folder.path };
  const run = promisify(execFile);
  await run(codex, ['app-server', 'generate-json-schema', '--experimental', '--out', folder.path], { env });
  const schema = JSON.parse(
    await readFile(join(folder.path, 'codex_app_server_protocol.schemas.json'), 'utf8'),
  ) as { definitions: { v2: { Config: { properties: object } } } };
  said.keys = Object.keys(schema.definitions.v2.Config.properties);
  const { stdout } = await run(codex, ['features', 'list'], { env });
  said.features = stdout.split('\n').flatMap((line) => line.trim().split(/\s/)[0] || []);
  const samples = Object.entries(CONFIG_SAMPLES).map(([key, { value }]) => [key, value]);
  await writeFile(join(folder.path, 'config.toml'), stringify(Object.fromEntries(samples) as object));
  said.strict = await run(codex, ['app-server', '--strict-config', '--print-startup-config'], { env }).then(
    (done) => done.stdout,
    (error: { stdout: string }) => error.stdout,
  );
  await folder.remove();
});

/** In the schema it is what follows from `tools`. */
const NOT_OF_FILE = ['client_search_provider'];

test('every key and feature that the pinned Codex lists has a decision', () => {
  expect(said.keys.length).toBeGreaterThan(20);
  expect(
    said.keys.filter((key) => !Object.hasOwn(CONFIG_SAMPLES, key) && !NOT_OF_FILE.includes(key)),
  ).toEqual([]);
  expect(said.features.length).toBeGreaterThan(100);
  expect(said.features.filter((name) => !KNOWN_FEATURES.has(name))).toEqual([]);
});

test('every key with a decision is known to the pinned Codex', () => {
  expect(said.strict).not.toContain('unknown configuration field');
});

describe.each(Object.entries(CONFIG_SAMPLES))('%s', (key, { of, value }) => {
  test(`of a seed is ${of === 'seed' ? 'taken' : 'left out, and named in a warning'}`, () => {
    const { config, warnings } = render({ seedConfigToml: stringify({ [key]: value }) });
    if (of === 'seed') {
      expect(config[key]).toMatchObject(value as object);
      expect(warnings).toEqual([]);
    } else {
      expect(config[key]).toEqual(plain()[key]);
      expect(warnings).toEqual([expect.stringMatching(new RegExp(`config.toml: ${key};`))]);
    }
  });

  test(`of codexConfig is ${of === 'worker' ? 'refused, with what to use instead' : 'taken'}`, () => {
    const codexConfig = { [key]: value };
    const atTheDoor = () => parseTaskInput({ codexConfig }, 't');
    if (of === 'worker') {
      const message = new RegExp(`codexConfig\\.${key}: (use \\w+|not available here)`);
      expect(atTheDoor).toThrow(expect.objectContaining({ code: 'BadInput' }) as Error);
      expect(atTheDoor).toThrow(message);
      expect(() => render({ codexConfig })).toThrow(message);
    } else {
      expect(atTheDoor).not.toThrow();
      expect(render({ codexConfig }).config[key]).toMatchObject(value as object);
    }
  });
});

test('a server name that codex refuses is bad input, and other names are taken', () => {
  const named = (name: string) => () =>
    parseTaskInput({ codexConfig: { mcp_servers: { [name]: { command: 'true' } } } }, 't');
  for (const name of ['my server', 'é', ''])
    expect(named(name)).toThrow(/codexConfig\.mcp_servers.*letters, digits/);
  for (const name of ['foo.bar', 'a/b', 'a@b:c', 'x_1-y']) expect(named(name)).not.toThrow();
});

describe('a key that nobody has decided about', () => {
  const unlisted = [
    { no_such_key: 1 },
    { model_providers: { p: { name: 'p', run_program: 'x' } } },
    { mcp_servers: { s: { command: 'x', default_tools_approval_mode: 'approve', tools: { t: {} } } } },
    { features: { brand_new: true } },
    { tui: { run_program: { command: 'x' } } },
    // A table where a value is expected.
    { model: { run: 'x' } },
    { tools: { client_search_provider: { run: 'x' } } },
  ];
  test.each(unlisted)('leaves %j out of a seed at every depth, and names it', (config) => {
    const { toml, warnings } = render({ seedConfigToml: stringify(config) });
    expect(toml).not.toMatch(/no_such_key|run_program|approval_mode|brand_new|run = /);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      /no_such_key|p\.run_program|s\.default_tools_approval_mode, mcp_servers\.s\.tools|features\.brand_new|tui\.run_program|model|client_search_provider/,
    );
  });

  test('names an undecided key of a seed in a warning of bounded length', () => {
    const names = Array.from({ length: 1_000 }, (_, i) => [`${'k"\n'.repeat(500)}${i}`, 1]);
    const { warnings } = render({ seedConfigToml: stringify(Object.fromEntries(names) as object) });
    expect(warnings.join('')).toMatch(/and 980 more/);
    expect(Buffer.byteLength(warnings.join(''))).toBeLessThan(2_048);
  });
});

test.each(Object.entries(FEATURES_OF_WORKER))('features.%s is always %s', (name, value) => {
  const other = { features: { [name]: !value } };
  const seeded = render({ seedConfigToml: stringify(other) });
  expect(seeded.config).toMatchObject({ features: { [name]: value } });
  expect(seeded.warnings).toEqual([expect.stringContaining(`features.${name}`)]);
  expect(() => parseTaskInput({ codexConfig: other }, 't')).toThrow(`codexConfig.features.${name}: always`);
  expect(() => parseTaskInput({ codexConfig: { features: { [name]: value } } }, 't')).not.toThrow();
});

test('settings that this worker rendered are dropped from a resumed task silently', () => {
  const first = render({ codexConfig: { notify: ['true'], model: 'm' }, sandbox: { network: true } });
  const { config, warnings } = render({ seedConfigToml: first.toml });
  expect(config).toEqual({ ...plain(), model: 'm' });
  expect(warnings).toEqual([expect.stringContaining('config.toml: notify;')]);
});
