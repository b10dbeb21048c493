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

  test('passes nothing of the worker’s environment without the network', () => {
    expect(policy({ workerEnv, network: false })).toEqual({
      inherit: 'core',
      set: { HOME: '/user' },
      warnings: [],
    });
  });

  test('passes proxies and certificates with the network, unless the task sets its own', () => {
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
  ])('withholds a proxy’s login and reports it: %s', (url, open) => {
    const { set, warnings } = policy({ workerEnv: { ALL_PROXY: url } });
    expect(set).toMatchObject({ ALL_PROXY: open });
    expect(warnings).toEqual([
      expect.stringMatching(/^Commands get ALL_PROXY without the login: .*CODEX_TASK_COMMAND_ENV/),
    ]);
  });

  test('passes the login of a proxy that the operator names, without a file', () => {
    const named = policy({
      workerEnv: { ALL_PROXY: 'http://u:hunter2@p.example' },
      commandEnv: ['ALL_PROXY'],
    });
    expect(named).toMatchObject({ inherit: 'all', warnings: [] });
    expect(named['include_only']).toContain('ALL_PROXY');
    expect(JSON.stringify(named)).not.toContain('hunter2');
  });

  test('passes only what the operator names, whatever codex has', () => {
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

  test('gives MCP servers codex’s proxies and certificates next to their own variables', () => {
    expect(withNetworkVariables(server({}), workerEnv)).toEqual(server({ env_vars: names }));
    expect(withNetworkVariables(server({ env_vars: ['TOKEN', 'PIP_CERT'] }), workerEnv)).toEqual(
      server({ env_vars: ['TOKEN', 'PIP_CERT', 'HTTP_PROXY', 'NO_PROXY', 'no_proxy'] }),
    );
  });

  test('keeps what an MCP server sets itself, and gives one on a URL no environment', () => {
    const env = { HTTP_PROXY: 'own' };
    expect(withNetworkVariables(server({ env }), workerEnv)).toEqual(
      server({ env, env_vars: names.slice(1) }),
    );
    const remote = { mcp_servers: { s: { url: 'https://x' } } };
    expect(withNetworkVariables(remote, workerEnv)).toEqual(remote);
  });

  test('leaves MCP servers unchanged without a proxy', () => {
    expect(withNetworkVariables(server({}), { TOKEN: 'x' })).toEqual(server({}));
  });
});
