import { inspect } from 'node:util';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'smol-toml';
import { beforeEach, describe, expect, test } from 'vitest';
import { API_KEY_VARIABLE } from '../../src/codex/api-key.js';
import { renderConfig, type ConfigInput } from '../../src/codex/config-toml.js';
import { homeEnvironment, placesOf } from '../../src/codex/task-places.js';
import { FEATURES_OF_WORKER } from '../../src/input/config-keys.js';
import { testFolder } from '../support/folders.js';
import { testTask, type TestTask } from './test-codex.js';

let task: TestTask;
beforeEach(async () => {
  task = await testTask();
});

/** The config without the readable places beside the data folder, which come and go. */
function render(input: Partial<ConfigInput> = {}) {
  const config = parse(renderConfig({ dataDir: task.dataDir, workDir: task.work, ...input }));
  const { permissions } = config as { permissions?: { task: { filesystem: Record<string, unknown> } } };
  const places = permissions?.task.filesystem ?? {};
  for (const [path, access] of Object.entries(places))
    if (access === 'read' && path.startsWith('/') && !path.startsWith(task.dataDir)) delete places[path];
  return config;
}

describe('what codexConfig cannot hold', () => {
  test.each([
    [{ model: null }, 'codexConfig.model: expected a value that TOML can hold, got null'],
    [
      { a: { b: [1, { c: undefined }] } },
      'codexConfig.a.b[1].c: expected a value that TOML can hold, got undefined',
    ],
    [{ list: [[], [() => 1]] }, 'codexConfig.list[1][0]: expected a value that TOML can hold, got function'],
    [{ symbol: Symbol('s') }, 'codexConfig.symbol: expected a value that TOML can hold, got symbol'],
    [{ big: 2n ** 63n }, 'codexConfig.big: expected a value that TOML can hold, got an integer over 64 bits'],
    [{ map: new Map() }, 'codexConfig.map: expected a value that TOML can hold, got an instance of Map'],
    [{ date: new Date(NaN) }, 'codexConfig.date: expected a value that TOML can hold, got an invalid date'],
    [{ holes: [1, , 3] }, 'codexConfig.holes[1]: expected a value that TOML can hold, got undefined'],
  ])('refuses %o as bad input with its path', (codexConfig, message) => {
    expect(() => render({ codexConfig })).toThrow(
      expect.objectContaining({ code: 'BadInput', message }) as Error,
    );
  });

  test('passes everything else through', () => {
    const desktop = {
      'key with "quotes" and\nlines': 'text with "quotes",\nlines and \u0000',
      mixed: [1, 'two', [true], { three: 3 }],
      empty: {},
      half: 'half \ud83d',
      nan: NaN,
    };
    const mcp_servers = {
      files: { command: 'x', args: ['-a', ''], env: { A: 'b' }, startup_timeout_sec: 2.5 },
    };
    expect(render({ codexConfig: { desktop, mcp_servers } })).toMatchObject({
      desktop: { ...desktop, half: 'half \ufffd' },
      mcp_servers,
    });
    const big = { desktop: { big: 2n ** 60n } };
    expect(renderConfig({ dataDir: task.dataDir, workDir: task.work, codexConfig: big })).toContain(
      'big = 1152921504606846976',
    );
  });
});

test('codexConfig overrides the seed by table, and model and effort override both', () => {
  const seedConfigToml =
    'model = "seed"\n[tui]\ntheme = "a"\nanimations = true\n[features]\nweb_search = true\n';
  const config = render({
    seedConfigToml,
    codexConfig: { tui: { animations: false } },
    model: 'mine',
    effort: 'high',
  });
  expect(config).toMatchObject({
    model: 'mine',
    model_reasoning_effort: 'high',
    tui: { theme: 'a', animations: false },
    features: { web_search: true, plugins: false, apps: false },
  });
});

test('a seed whose config is no TOML is bad input', () => {
  expect(() => render({ seedConfigToml: 'model = [' })).toThrow(
    /config.toml of the seed or snapshot is no TOML/,
  );
});

test.each([
  '[model_providers.x]\nexperimental_bearer_token = "sk-SECRET',
  'a = "sk-SECRET"\nb = = 1',
  'a = sk-SECRET',
  '{"OPENAI_API_KEY":"sk-SECRET"}',
  'sk-SECRET',
  'a = "sk-SECRET\\q"',
  'a = 1sk-SECRET',
  '"sk-SECRET" = 1\n"sk-SECRET" = 2',
  'a = 0xsk-SECRET',
])('a config that is no TOML is refused with the place of the fault, unquoted: %j', (text) => {
  let thrown: unknown;
  try {
    render({ seedConfigToml: text });
  } catch (error) {
    thrown = error;
  }
  expect(inspect(thrown, { depth: 10, showHidden: true })).not.toContain('SECRET');
  expect(String(thrown)).toMatch(/is no TOML \(line \d+, column \d+/);
});

test('no setting can weaken what the worker promises', () => {
  const weakening = {
    sandbox_mode: 'danger-full-access',
    sandbox_workspace_write: { network_access: true },
    default_permissions: ':danger-full-access',
    permissions: { task: { filesystem: { '/': 'write' } }, other: {} },
    approval_policy: 'never',
    approvals_reviewer: 'auto_review',
    shell_environment_policy: { inherit: 'all', include_only: ['X'], set: { HOME: '/root' } },
    projects: { [task.work]: { trust_level: 'trusted' } },
    cli_auth_credentials_store: 'keyring',
    check_for_update_on_startup: true,
    analytics: { enabled: true },
    features: { plugins: true, apps: true, web_search: true },
    plugins: { x: {} },
    profile: 'p',
    profiles: { p: { sandbox_mode: 'danger-full-access' } },
  };
  const plain = render({ codexConfig: { features: { web_search: true } } });
  expect(render({ seedConfigToml: stringify(weakening) })).toEqual(plain);
  for (const [key, value] of Object.entries(weakening))
    expect(() => render({ codexConfig: { [key]: value } })).toThrow(`codexConfig.${key}`);
  expect(plain).toEqual({
    approval_policy: 'on-request',
    approvals_reviewer: 'user',
    default_permissions: 'task',
    permissions: {
      task: {
        filesystem: {
          ':minimal': 'read',
          [task.work]: 'write',
          [task.home]: 'deny',
          [join(task.work, '../user')]: 'read',
          [join(task.work, '../cache')]: 'write',
          [join(task.work, '../tmp')]: 'write',
        },
        network: { enabled: false },
      },
    },
    shell_environment_policy: { inherit: 'core', set: homeEnvironment(placesOf(task.work)) },
    projects: { [task.work]: { trust_level: 'untrusted' } },
    cli_auth_credentials_store: 'file',
    check_for_update_on_startup: false,
    analytics: { enabled: false },
    features: { ...FEATURES_OF_WORKER, web_search: true },
    suppress_unstable_features_warning: true,
  });
});

test('the task sets approvals, network and the variables of commands', () => {
  const config = render({ approvals: { policy: 'untrusted' }, sandbox: { network: true }, env: { A: 'b' } });
  expect(config).toMatchObject({
    approval_policy: 'untrusted',
    permissions: { task: { network: { enabled: true } } },
    shell_environment_policy: {
      inherit: 'core',
      set: { ...homeEnvironment(placesOf(task.work)), A: 'b' },
    },
  });
});

test('danger-full-access has no profile of its own', () => {
  const config = render({ sandbox: { mode: 'danger-full-access' } });
  expect(config['default_permissions']).toBe(':danger-full-access');
  expect(config).not.toHaveProperty('permissions');
});

test('a data folder behind a link is hidden at its real place', async () => {
  const link = join(await testFolder(), 'link');
  await symlink(task.dataDir, link);
  expect(render({ dataDir: link, workDir: join(link, 'tasks/a/work') })).toEqual(render());
});

describe('grants', () => {
  const grant = (path: string, access: 'ro' | 'rw' = 'rw') =>
    render({ sandbox: { grants: [{ path, access }] } });

  test.each([
    ['relative/path', /grants\[0\].path: expected an absolute path, got relative\/path/],
    ['/not/on/this/host', /grants\[0\].path: \/not\/on\/this\/host is not on this host/],
  ])('%s is refused', (path, message) => {
    expect(() => grant(path)).toThrow(message);
  });

  test('no grant opens the data folder, another task or a pattern', async () => {
    const link = join(await testFolder(), 'link');
    await symlink(join(task.dataDir, 'tasks', 'b'), link);
    const own = ['dev', 'dev/ferretdb', 'unsaved', 'unsaved/b-1/work', 'ended/x', 'login', 'worker.lock'].map(
      (name) => join(task.dataDir, name),
    );
    for (const path of own) await mkdir(path, { recursive: true });
    for (const path of [
      task.dataDir,
      join(task.dataDir, 'tasks'),
      join(task.dataDir, 'tasks/b/work'),
      task.home,
      link,
      ...own,
    ])
      expect(() => grant(path)).toThrow(/belongs to the worker/);
    const file = join(await testFolder(), 'file');
    await writeFile(file, '');
    expect(() => grant(file)).toThrow(/expected a folder for access rw/);
    const pattern = join(await testFolder(), 'a[bc]');
    await mkdir(pattern);
    expect(() => grant(pattern)).toThrow(/without \*\?\[\]\{\}/);
  });

  test('a writable grant around the data folder keeps it and all inside denied', async () => {
    const around = join(task.dataDir, '..');
    expect(grant(around)).toMatchObject({
      permissions: { task: { filesystem: { [task.dataDir]: 'deny' } } },
    });
    await mkdir(join(task.dataDir, 'shared'));
    const grants = [
      { path: around, access: 'rw' as const },
      { path: join(task.dataDir, 'shared'), access: 'ro' as const },
    ];
    expect(() => render({ sandbox: { grants } })).toThrow(/cannot be writable/);
  });

  test('a read-only grant around the data folder does not open it in read-only mode', () => {
    const grants = [{ path: '/', access: 'ro' as const }];
    const { task: profile } = render({ sandbox: { mode: 'read-only', grants } })['permissions'] as Record<
      string,
      { filesystem: Record<string, string> }
    >;
    const readable = Object.keys(profile!.filesystem).filter((path) => path.startsWith('/'));
    expect(readable).toContain(task.work);
    expect(readable.filter((path) => `${task.dataDir}/`.startsWith(`${path === '/' ? '' : path}/`))).toEqual(
      [],
    );
  });
});

describe('an API key', () => {
  const stub = { name: 'stub', base_url: 'http://127.0.0.1:1/v1', wire_api: 'responses' };

  test('replaces the credentials of the configured provider by the API key', () => {
    const provider = { ...stub, env_key: 'OTHER', auth: { command: 'x' }, experimental_bearer_token: 't' };
    const codexConfig = { model_provider: 'stub', model_providers: { stub: provider } };
    expect(render({ apiKey: true, codexConfig })['model_providers']).toEqual({
      stub: { ...stub, env_key: API_KEY_VARIABLE },
    });
  });

  test('sends the API key to OpenAI when no provider is configured', () => {
    expect(render({ apiKey: true, codexConfig: { openai_base_url: 'http://x/v1' } })).toMatchObject({
      model_provider: 'openai-api-key',
      model_providers: {
        'openai-api-key': { name: 'OpenAI', base_url: 'http://x/v1', env_key: API_KEY_VARIABLE },
      },
    });
  });

  test('refuses an API key for a provider that cannot take one', () => {
    expect(() => render({ apiKey: true, codexConfig: { model_provider: 'ollama' } })).toThrow(
      /credential.apiKeyEnv: expected a table codexConfig.model_providers."ollama"/,
    );
  });

  test('drops the API key of an earlier run', () => {
    const codexConfig = { model_provider: 'stub', model_providers: { stub } };
    for (const earlier of [{ codexConfig }, {}]) {
      const before = renderConfig({ dataDir: task.dataDir, workDir: task.work, apiKey: true, ...earlier });
      expect(render({ seedConfigToml: before })).toEqual(render(earlier));
    }
  });
});

test('MCP servers whose tools codex refuses under the policy never are named', () => {
  const warnings: string[] = [];
  const server = { command: 'x' };
  const mcp_servers = {
    asks: server,
    runs: { ...server, default_tools_approval_mode: 'approve' },
    off: { ...server, enabled: false },
  };
  render({ approvals: { policy: 'on-request' }, codexConfig: { mcp_servers }, warnings });
  expect(warnings).toEqual([]);
  render({ approvals: { policy: 'never' }, codexConfig: { mcp_servers }, warnings });
  expect(warnings).toEqual([expect.stringMatching(/tools of asks that need approval/)]);
});
