import { realpathSync } from 'node:fs';
import { parse, stringify } from 'smol-toml';
import type { ApprovalSettings } from '../contract.js';
import { reasonOf, TaskError } from '../errors.js';
import { withApiKey, withoutApiKey } from './api-key.js';
import { sandboxSettings, type SandboxPlaces } from './sandbox-profile.js';
import { isTable, mergeTables, toTomlValue, type TomlTable } from './toml-values.js';

export interface ConfigInput extends Omit<SandboxPlaces, 'sandbox'> {
  /** Default `workspace-write` without network. */
  sandbox?: SandboxPlaces['sandbox'] | undefined;
  approvals?: Pick<ApprovalSettings, 'policy'> | undefined;
  model?: string | undefined;
  effort?: string | undefined;
  codexConfig?: Readonly<Record<string, unknown>> | undefined;
  /** The seed's config.toml, or that of a snapshot: only its user's settings are taken. */
  seedConfigToml?: string | undefined;
  /** What sandboxed commands see beside codex's core variables. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Whether the provider gets the key that `childEnvironment` passes on. */
  apiKey?: boolean;
}

/**
 * The config.toml of a task: the seed's settings, `codexConfig` over them, and over both what the worker's
 * promises rest on (sandbox, environment of commands, trust, credential file, no telemetry). Codex reads it
 * at start only, so it must be written before.
 * @throws TaskError `BadInput` naming `codexConfig.<path>` on what TOML cannot hold, and on bad grants
 */
export function renderConfig(input: ConfigInput): string {
  const { codexConfig = {}, seedConfigToml = '', model, effort, apiKey = false } = input;
  const seeded = withoutApiKey(parseSeedConfig(seedConfigToml));
  const asked = toTomlValue(codexConfig, 'codexConfig') as TomlTable;
  const merged = usersSettings(mergeTables(seeded, asked));
  const config = mergeTables(apiKey ? withApiKey(merged) : merged, {
    ...(model === undefined ? {} : { model }),
    ...(effort === undefined ? {} : { model_reasoning_effort: effort }),
    ...enforcedSettings(input),
  });
  return stringify(config);
}

/** Settings of others that are dropped whole, so that no part of them is merged with ours. */
const OURS = [
  'sandbox_mode',
  'sandbox_workspace_write',
  'default_permissions',
  'permissions',
  'approval_policy',
  'shell_environment_policy',
  'projects',
  'cli_auth_credentials_store',
  'check_for_update_on_startup',
  'analytics',
  'plugins',
  'apps',
  'marketplaces',
  // A profile goes over all of the file.
  'profile',
  'profiles',
];

function usersSettings(config: TomlTable): TomlTable {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !OURS.includes(key)));
}

function enforcedSettings({ dataDir, workDir, sandbox = {}, approvals, env = {} }: ConfigInput): TomlTable {
  const work = realpathSync(workDir);
  return {
    ...sandboxSettings({ dataDir, workDir, sandbox }),
    approval_policy: approvals?.policy ?? 'on-request',
    shell_environment_policy: {
      inherit: 'core',
      // The real home is out of a command's sight, and shells complain of one they cannot read.
      set: { HOME: work, ...env },
    },
    // In a project that is trusted, or not named here, codex 0.169.0 takes work/.codex/config.toml over this
    // file, sandbox and all. AGENTS.md is then read from CODEX_HOME only.
    projects: { [work]: { trust_level: 'untrusted' } },
    cli_auth_credentials_store: 'file',
    check_for_update_on_startup: false,
    analytics: { enabled: false },
    // With them codex calls GitHub and ChatGPT at every start.
    features: { plugins: false, apps: false },
  };
}

function parseSeedConfig(text: string): TomlTable {
  try {
    const config = parse(text, { integersAsBigInt: 'asNeeded' });
    return isTable(config) ? config : {};
  } catch (error) {
    throw new TaskError('BadInput', `config.toml of the seed or snapshot is no TOML: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}
