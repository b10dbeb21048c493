import { isObject } from './clean-json.js';
import { dotted } from './faults.js';

/**
 * Which settings of codex's config.toml come from where. The lists say what is allowed: a key that a later codex adds
 * is neither taken from a seed nor accepted from a task before somebody has decided about it.
 */

/**
 * `value`: whatever is no table. `secret`: such a value that no snapshot holds. `anything`: tables too. An object: these
 * keys of a table; `*`: every other one.
 */
export type Allowed = 'value' | 'secret' | 'anything' | AllowedKeys;
export interface AllowedKeys {
  readonly [key: string]: Allowed;
}

const MODEL_PROVIDER: AllowedKeys = {
  name: 'value',
  base_url: 'value',
  env_key: 'value',
  env_key_instructions: 'value',
  experimental_bearer_token: 'secret',
  auth: { command: 'value', args: 'value', timeout_ms: 'value', refresh_interval_ms: 'value', cwd: 'value' },
  aws: { profile: 'value', region: 'value' },
  wire_api: 'value',
  query_params: { '*': 'secret' },
  http_headers: { '*': 'secret' },
  env_http_headers: { '*': 'value' },
  request_max_retries: 'value',
  stream_max_retries: 'value',
  stream_idle_timeout_ms: 'value',
  websocket_connect_timeout_ms: 'value',
  requires_openai_auth: 'value',
  supports_websockets: 'value',
};

/** Without the approval of tool calls, which the task decides. */
const MCP_SERVER: AllowedKeys = {
  name: 'value',
  command: 'value',
  args: 'value',
  env: { '*': 'secret' },
  env_vars: 'anything',
  cwd: 'value',
  url: 'value',
  bearer_token: 'secret',
  bearer_token_env_var: 'value',
  http_headers: { '*': 'secret' },
  env_http_headers: { '*': 'value' },
  oauth: { client_id: 'value' },
  oauth_resource: 'value',
  scopes: 'value',
  startup_timeout_sec: 'value',
  startup_timeout_ms: 'value',
  tool_timeout_sec: 'value',
  enabled: 'value',
  required: 'value',
  enabled_tools: 'value',
  disabled_tools: 'value',
  supports_parallel_tool_calls: 'value',
};

/** What is taken of a seed's or a snapshot's file: model and provider, MCP servers, display. */
export const OF_SEEDS: AllowedKeys = {
  model: 'value',
  model_provider: 'value',
  model_providers: { '*': MODEL_PROVIDER },
  model_reasoning_effort: 'value',
  model_reasoning_summary: 'value',
  model_verbosity: 'value',
  model_context_window: 'value',
  model_auto_compact_token_limit: 'value',
  model_auto_compact_token_limit_scope: 'value',
  plan_mode_reasoning_effort: 'value',
  review_model: 'value',
  service_tier: 'value',
  personality: 'value',
  tool_output_token_limit: 'value',
  openai_base_url: 'value',
  chatgpt_base_url: 'value',
  oss_provider: 'value',
  forced_login_method: 'value',
  forced_chatgpt_workspace_id: 'value',
  web_search: 'value',
  tools: { client_search_provider: 'value', web_search: 'anything' },
  mcp_servers: { '*': MCP_SERVER },
  hide_agent_reasoning: 'value',
  show_raw_agent_reasoning: 'value',
  file_opener: 'value',
  disable_paste_burst: 'value',
  suppress_unstable_features_warning: 'value',
  // No app-server acts on them.
  tui: { '*': 'value' },
  features: {
    enable_request_compression: 'value',
    fast_mode: 'value',
    responses_websockets: 'value',
    responses_websockets_v2: 'value',
    standalone_web_search: 'value',
    web_search: 'value',
    web_search_cached: 'value',
    web_search_request: 'value',
  },
};

/** What a task's `codexConfig` may hold besides that. What lies below is codex's to check. */
const OF_TASKS = [
  'agents',
  'allow_login_shell',
  'audio',
  'background_terminal_max_timeout',
  'browser_use',
  'compact_prompt',
  'computer_use',
  'desktop',
  'developer_instructions',
  'experimental_compact_prompt_file',
  'experimental_use_unified_exec_tool',
  'feedback',
  'ghost_snapshot',
  'history',
  'include_apps_instructions',
  'include_collaboration_mode_instructions',
  'include_environment_context',
  'include_permissions_instructions',
  'instructions',
  'mcp_oauth_callback_port',
  'mcp_oauth_callback_url',
  'mcp_oauth_credentials_store',
  'memories',
  'model_catalog_json',
  'model_instructions_file',
  'notice',
  'notify',
  'otel',
  'project_doc_fallback_filenames',
  'project_doc_max_bytes',
  'skills',
  'tool_suggest',
  'windows',
];

const SANDBOX = 'sandbox';
const APPROVALS = 'approvals and hooks.onPermissionRequest';
const NOTHING = null;

/** Keys that the worker's promises rest on, with the field of the input to use; null: there is none. */
const OF_WORKER: Readonly<Record<string, string | null>> = {
  sandbox_mode: SANDBOX,
  sandbox_workspace_write: SANDBOX,
  default_permissions: SANDBOX,
  permissions: SANDBOX,
  approval_policy: 'approvals.policy',
  approvals_reviewer: APPROVALS,
  auto_review: APPROVALS,
  hooks: 'hooks',
  shell_environment_policy: 'env and passEnv',
  profile: NOTHING,
  profiles: NOTHING,
  projects: NOTHING,
  project_root_markers: NOTHING,
  cli_auth_credentials_store: NOTHING,
  check_for_update_on_startup: NOTHING,
  analytics: NOTHING,
  plugins: NOTHING,
  marketplaces: NOTHING,
  apps: NOTHING,
  apps_mcp_product_sku: NOTHING,
  log_dir: NOTHING,
  sqlite_home: NOTHING,
  js_repl_node_path: NOTHING,
  realtime: NOTHING,
  experimental_thread_store: NOTHING,
  experimental_realtime_start_instructions: NOTHING,
  experimental_realtime_ws_backend_prompt: NOTHING,
  experimental_realtime_ws_base_url: NOTHING,
  experimental_realtime_ws_model: NOTHING,
  experimental_realtime_ws_startup_context: NOTHING,
};

/**
 * Features that are as the worker has them; any other value of a task is refused. Others than `true` and `false` are
 * features whose other value would go round sandbox, approvals or the credential file.
 */
export const FEATURES_OF_WORKER: Readonly<Record<string, boolean>> = {
  // With them codex calls GitHub and ChatGPT at every start.
  plugins: false,
  apps: false,
  // Codex would begin turns by itself, and continue after the task's end.
  goals: false,
  // An approved command gets the network and the paths that it asked for, and no more.
  exec_permission_approvals: true,
  write_stdin_approval: true,
};

/** Features with which others than the task's callers decide, or credentials lie elsewhere. */
const CLOSED_FEATURES =
  /^(guardian|codex_hooks$|hooks$|plugin_|remote_control$|remote_plugin$|secret_auth_storage$|use_agent_identity$|use_legacy_landlock$|use_linux_sandbox_bwrap$|network_proxy$|shell_zsh_fork$|unified_exec_zsh_fork$|credential_masking$|connectors$|sqlite$|local_thread_store_)/;

/** Whether a setting, by its dotted path, is one that the worker writes into each file. */
export const isOfWorker = (path: string): boolean => {
  const [key = '', name = ''] = path.split('.');
  return Object.hasOwn(OF_WORKER, key) || (key === 'features' && Object.hasOwn(FEATURES_OF_WORKER, name));
};

/** Whether anybody has decided about a key of config.toml. */
export const isKnownSetting = (key: string): boolean =>
  [OF_SEEDS, OF_WORKER].some((keys) => Object.hasOwn(keys, key)) || OF_TASKS.includes(key);

/** Why a task may not set this key of config.toml, as the rest of a message; null: it may. */
function refusalOf(key: string): string | null {
  if (!Object.hasOwn(OF_WORKER, key)) return null;
  const field = OF_WORKER[key];
  return field ? `use ${field}` : 'not available here, the worker sets it';
}

/** Why a task may not set a feature to this value; null: it may. */
export function featureRefusal(name: string, value: unknown): string | null {
  if (Object.hasOwn(FEATURES_OF_WORKER, name))
    return value === FEATURES_OF_WORKER[name] ? null : `always ${String(FEATURES_OF_WORKER[name])} here`;
  return CLOSED_FEATURES.test(name) ? 'not available here, the worker sets it' : null;
}

/** What codex takes as an MCP server's name; it starts without another one. */
const SERVER_NAME = /^[a-zA-Z0-9_:@/.-]+$/;
const SERVER_NAMES = 'expected a server name of letters, digits and _ : @ / . -';

/** The keys of `codexConfig` that are refused, each with its path and the reason. */
export function refusedKeys(config: Readonly<Record<string, unknown>>): { path: string[]; why: string }[] {
  const keys = Object.keys(config).map((key) => ({ path: [key], why: refusalOf(key) }));
  const { features, mcp_servers: servers } = config;
  const unfit = Object.keys(isObject(servers) ? servers : {}).filter((name) => !SERVER_NAME.test(name));
  const named = Object.entries(isObject(features) ? features : {}).map(([name, value]) => ({
    path: ['features', name],
    why: featureRefusal(name, value),
  }));
  const misnamed = unfit.map((name) => ({ path: ['mcp_servers', name], why: SERVER_NAMES }));
  return [...keys, ...named, ...misnamed].flatMap(({ path, why }) => (why === null ? [] : [{ path, why }]));
}

export interface TakenSettings {
  readonly taken: Record<string, unknown>;
  /** Dotted paths of what was left out. */
  readonly dropped: readonly string[];
}

/** What may be taken of a seed's or a snapshot's settings, at every depth. */
export function settingsOfSeed(config: Readonly<Record<string, unknown>>): TakenSettings {
  const dropped: string[] = [];
  return { taken: taken(config, OF_SEEDS, [], dropped), dropped };
}

function taken(
  table: Readonly<Record<string, unknown>>,
  allowed: AllowedKeys,
  path: readonly string[],
  dropped: string[],
): Record<string, unknown> {
  const kept: [string, unknown][] = [];
  for (const [key, value] of Object.entries(table)) {
    const rule = Object.hasOwn(allowed, key) ? allowed[key] : allowed['*'];
    const here = [...path, key];
    if (rule === 'anything') kept.push([key, value]);
    else if ((rule === 'value' || rule === 'secret') && !holdsTable(value)) kept.push([key, value]);
    else if (typeof rule === 'object' && isTable(value)) kept.push([key, taken(value, rule, here, dropped)]);
    else dropped.push(dotted(here));
  }
  return Object.fromEntries(kept);
}

/** A TOML table; its dates are objects too, of a class of their own. */
export const isTable = (value: unknown): value is Record<string, unknown> =>
  isObject(value) && !(value instanceof Date);

export const holdsTable = (value: unknown): boolean =>
  isTable(value) || (Array.isArray(value) && value.some((part) => holdsTable(part)));
