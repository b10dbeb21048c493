import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { renderConfig } from '../../src/codex/config-toml.js';
import { keptSettings, settingsOfSnapshot } from '../../src/codex/kept-settings.js';
import { testFolder } from '../support/folders.js';

/** Everything that may be a secret has a value that begins so; `a` is one that codex may have tomorrow. */
const SERVER = {
  command: 'node',
  args: ['server.js'],
  env: { TOKEN: 'secret-1', 'with.dot': 'secret-2' },
  env_vars: ['PASSED'],
};
const CONFIG = {
  model: 'gpt-5.5',
  mcp_servers: {
    local: SERVER,
    remote: {
      url: 'https://a.example/mcp',
      http_headers: { Authorization: 'secret-3' },
      bearer_token_env_var: 'NAME',
      env_http_headers: { X: 'NAME' },
    },
  },
  model_providers: {
    other: {
      name: 'other',
      base_url: 'https://b.example/v1',
      env_key: 'NAME',
      http_headers: { X: 'secret-4' },
      query_params: { key: 'secret-5' },
      experimental_bearer_token: 'secret-6',
    },
  },
  otel: { exporter: { 'otlp-http': { endpoint: 'https://c.example', headers: { X: 'secret-7' } } } },
  notify: ['program', 'secret-8'],
};

async function kept(codexConfig: Record<string, unknown> = CONFIG) {
  const folder = await testFolder();
  const workDir = join(folder, 'tasks/t/work');
  await mkdir(workDir, { recursive: true });
  const env = { A: 'secret-9' };
  const rendered = renderConfig({ dataDir: folder, workDir, codexConfig, env });
  return { rendered, ...keptSettings(rendered)! };
}

const givers = { sealed: null, seed: null, codexConfig: {} };
const secretsIn = (text: string): string[] => text.match(/secret-\d/g) ?? [];

describe('kept settings', () => {
  it('hold each setting that a resume takes, without secrets and unexamined values', async () => {
    const { rendered, settings } = await kept();
    expect(new Set(secretsIn(rendered)).size).toBe(9);
    expect(secretsIn(settings)).toEqual([]);
    const future = keptSettings('[mcp_servers.a]\ncommand = "x"\napi = "secret-1"\n[b]\nc = "secret-2"\n')!;
    expect([secretsIn(future.settings), future.secrets]).toEqual([[], null]);
    const { mcp_servers, model_providers, model } = parse(settings) as unknown as typeof CONFIG;
    expect(model).toBe(CONFIG.model);
    expect(mcp_servers.local).toMatchObject({ command: 'node', args: ['server.js'], env_vars: ['PASSED'] });
    expect(mcp_servers.remote).toMatchObject({ url: 'https://a.example/mcp', bearer_token_env_var: 'NAME' });
    expect(model_providers.other).toMatchObject({ base_url: 'https://b.example/v1', env_key: 'NAME' });
  });

  it('join with the kept secrets to whole settings', async () => {
    const { settings, secrets } = await kept();
    const warnings: string[] = [];
    const whole = parse(settingsOfSnapshot(settings, { ...givers, sealed: secrets }, warnings));
    expect(whole).toMatchObject({
      model: CONFIG.model,
      mcp_servers: CONFIG.mcp_servers,
      model_providers: CONFIG.model_providers,
    });
    expect(warnings).toEqual([]);
  });

  it('take a secret of the seed only for the same server, and name missing ones', async () => {
    const { settings } = await kept();
    const seed = (url: string) =>
      `[mcp_servers.remote]\nurl = "${url}"\nhttp_headers = { Authorization = "of the seed" }\n`;
    const read = (text: string, warnings: string[]) =>
      parse(
        settingsOfSnapshot(
          settings,
          { ...givers, seed: text, codexConfig: { mcp_servers: { local: { env: { TOKEN: 'given' } } } } },
          warnings,
        ),
      ) as unknown as { mcp_servers: { remote: { http_headers: object }; local: { env: object } } };
    const warnings: string[] = [];
    const { remote, local } = read(seed('https://a.example/mcp'), warnings).mcp_servers;
    expect([remote.http_headers, local.env]).toEqual([{ Authorization: 'of the seed' }, {}]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /mcp_servers\.local\.env\.\S*with\.dot.*experimental_bearer_token.*env_http_headers/,
      ),
    ]);
    expect(warnings[0]).not.toMatch(/TOKEN|Authorization/);
    const elsewhere: string[] = [];
    expect(read(seed('https://evil.example/mcp'), elsewhere).mcp_servers.remote.http_headers).toEqual({});
    expect(elsewhere[0]).toContain('mcp_servers.remote.http_headers.Authorization');
  });
});
