import { describe, expect, test } from 'vitest';
import { commandPolicy, withNetworkVariables } from '../../src/codex/command-environment.js';

const policy = (more: Partial<Parameters<typeof commandPolicy>[0]>): Record<string, unknown> => {
  const warnings: string[] = [];
  const base = {
    workerEnv: {},
    network: true,
    commandEnv: [],
    passEnv: [],
    set: { HOME: '/user' },
    warnings,
  };
  return { ...commandPolicy({ ...base, ...more }), warnings };
};

describe('what commands get of the worker’s environment', () => {
  const workerEnv = { https_proxy: 'http://p.example:1', REQUESTS_CA_BUNDLE: '/ca.pem', TOKEN: 'x' };

  test('is nothing without the network', () => {
    expect(policy({ workerEnv, network: false })).toEqual({
      inherit: 'core',
      set: { HOME: '/user' },
      warnings: [],
    });
  });

  test('are its proxies and certificates with the network, unless the task has its own', () => {
    const set = { HOME: '/user', REQUESTS_CA_BUNDLE: '/mine.pem', NO_PROXY: 'mine' };
    expect(policy({ workerEnv, set }).set).toEqual({
      ...set,
      https_proxy: 'http://p.example:1',
      no_proxy: 'localhost,127.0.0.1,::1',
    });
  });

  test.each([
    ['http://user:hunter2@p.example:1', 'http://p.example:1'],
    ['http://user:p@ss:hunter2@p.example:1/', 'http://p.example:1/'],
    ['user:hunter2@p.example:1', 'p.example:1'],
    ['socks5h://user@p.example', 'socks5h://p.example'],
  ])('is no login of a proxy, which is said: %s', (url, open) => {
    const { set, warnings } = policy({ workerEnv: { ALL_PROXY: url } });
    expect(set).toMatchObject({ ALL_PROXY: open });
    expect(warnings).toEqual([
      expect.stringMatching(/^Commands get ALL_PROXY without the login: .*CODEX_TASK_COMMAND_ENV/),
    ]);
  });

  test('is a login of a proxy that the operator names, and no file has it', () => {
    const named = policy({
      workerEnv: { ALL_PROXY: 'http://u:hunter2@p.example' },
      commandEnv: ['ALL_PROXY'],
    });
    expect(named).toMatchObject({ inherit: 'all', warnings: [] });
    expect(named['include_only']).toContain('ALL_PROXY');
    expect(JSON.stringify(named)).not.toContain('hunter2');
  });

  test('is only what the operator names, whatever codex has beside it', () => {
    const named = policy({ workerEnv, commandEnv: ['TOKEN', 'MISSING'], passEnv: ['KEY', 'TOKEN', 'PATH'] });
    expect(named['include_only']).toEqual(expect.arrayContaining(['PATH', 'HOME', 'TOKEN', 'https_proxy']));
    expect(named['include_only']).not.toEqual(expect.arrayContaining(['MISSING']));
    expect(named['exclude']).toEqual(['CODEX_TASK_API_KEY', 'KEY']);
  });
});

describe('MCP servers', () => {
  const server = (more: object) => ({ mcp_servers: { s: { command: 'x', ...more } } });
  const workerEnv = { HTTP_PROXY: 'http://p', PIP_CERT: '/ca.pem', TOKEN: 'x' };
  const names = ['HTTP_PROXY', 'PIP_CERT', 'NO_PROXY', 'no_proxy'];

  test('get codex’s proxies and certificates beside what they name', () => {
    expect(withNetworkVariables(server({}), workerEnv)).toEqual(server({ env_vars: names }));
    expect(withNetworkVariables(server({ env_vars: ['TOKEN', 'PIP_CERT'] }), workerEnv)).toEqual(
      server({ env_vars: ['TOKEN', 'PIP_CERT', 'HTTP_PROXY', 'NO_PROXY', 'no_proxy'] }),
    );
  });

  test('keep what they set themselves, and those on a URL have no environment', () => {
    const env = { HTTP_PROXY: 'own' };
    expect(withNetworkVariables(server({ env }), workerEnv)).toEqual(
      server({ env, env_vars: names.slice(1) }),
    );
    const remote = { mcp_servers: { s: { url: 'https://x' } } };
    expect(withNetworkVariables(remote, workerEnv)).toEqual(remote);
  });

  test('are as they were without a proxy', () => {
    expect(withNetworkVariables(server({}), { TOKEN: 'x' })).toEqual(server({}));
  });
});
