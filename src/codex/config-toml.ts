import { parse, stringify, TomlError } from 'smol-toml';
import type { ApprovalSettings } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { FEATURES_OF_WORKER, isOfWorker, refusedKeys, settingsOfSeed } from '../input/config-keys.js';
import { BUILT_IN_PROVIDER, withApiKey, withoutApiKey } from './api-key.js';
import { withWorkingFolders } from './confined-programs.js';
import { CA_NAMES } from './child-environment.js';
import { commandPolicy, withNetworkVariables } from './command-environment.js';
import { homeEnvironment, makePlaces, safePath, type TaskPlaces } from './task-places.js';
import { temporaryFolders } from './closed-places.js';
import { executablesOf } from './home-programs.js';
import { sandboxSettings, type SandboxPlaces } from './sandbox-profile.js';
import { toWellFormed } from './well-formed.js';
import { isTable, mergeTables, toTomlValue, type TomlTable } from './toml-values.js';

export interface ConfigInput extends Omit<SandboxPlaces, 'sandbox' | 'path' | 'needed'> {
  /** Default `workspace-write` without network. */
  sandbox?: SandboxPlaces['sandbox'] | undefined;
  approvals?: Pick<ApprovalSettings, 'policy'> | undefined;
  model?: string | undefined;
  effort?: string | undefined;
  codexConfig?: Readonly<Record<string, unknown>> | undefined;
  /** The seed's config.toml, or that of a snapshot: only its user's settings are taken. */
  seedConfigToml?: string | undefined;
  /** What sandboxed commands see besides codex's core variables. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Whether the provider gets the key that `childEnvironment` passes on. */
  apiKey?: boolean;
  /**
   * Commands have its PATH where `env` has none, and with the network its proxies and certificates; they do not see its
   * HOME.
   */
  workerEnv?: NodeJS.ProcessEnv;
  /** Codex's executable. */
  codex?: string | undefined;
  /** Names of it that codex has and commands have not. */
  passEnv?: readonly string[];
  /** Names of it that commands have as they are, and codex has too. */
  commandEnv?: readonly string[];
  /** Gets a line about what was left out of `seedConfigToml`, and what commands do not see. */
  warnings?: string[];
}

/** One of the features that the worker needs is not stable yet; each thread would warn of it. */
const QUIET: TomlTable = { suppress_unstable_features_warning: true };

/** First line of what is rendered here: what a later task leaves out of such a file was the worker's own. */
export const RENDERED =
  '# Rendered by codex-task-worker: sandbox, approvals, environment and trust are those of one task.\n';

/**
 * The config.toml of a task: what may be taken of the seed's, `codexConfig` over it, and over both what the
 * worker's promises rest on (sandbox, approvals, environment of commands, trust, credential file, no analytics).
 * Codex reads it at start only, so it must be written before.
 * @throws TaskError `BadInput` naming `codexConfig.<path>` on what TOML cannot hold and on what is not a task's to
 * set, and on bad grants
 */
export function renderConfig(input: ConfigInput): string {
  const { codexConfig = {}, seedConfigToml = '', model, effort, apiKey = false, warnings = [] } = input;
  const seeded = withoutApiKey(settingsOf(seedConfigToml, warnings));
  const asked = toTomlValue(codexConfig, 'codexConfig') as TomlTable;
  for (const { path, why } of refusedKeys(asked))
    throw new TaskError('BadInput', `codexConfig.${path.join('.')}: ${why}`);
  const places = makePlaces(input.workDir);
  const writable = writablePlaces(input, places);
  const settings = mergeTables(QUIET, mergeTables(seeded, asked));
  const merged = withWorkingFolders(withNetworkVariables(settings, input.workerEnv ?? {}), asked, {
    folder: places.user,
    writable,
    warnings,
  });
  const config = mergeTables(apiKey ? withApiKey(merged) : merged, {
    ...(model === undefined ? {} : { model }),
    ...(effort === undefined ? {} : { model_reasoning_effort: effort }),
    ...enforcedSettings(input, places, writable),
  });
  if (input.approvals?.policy === 'never') warnings.push(...refusedServers(config));
  return RENDERED + stringify(config);
}

/** The model provider that a rendered config.toml names. */
export function providerIn(configToml: string): string {
  const { model_provider: provider = BUILT_IN_PROVIDER } = parse(configToml);
  return typeof provider === 'string' ? provider : BUILT_IN_PROVIDER;
}

/** Where a rendered config.toml has its model provider; null: it leaves that to codex. */
export function providerUrlIn(configToml: string): string | null {
  const { model_providers: providers, openai_base_url: ofOpenai } = parse(configToml);
  const name = providerIn(configToml);
  const provider = isTable(providers) ? providers[name] : undefined;
  const url = isTable(provider) ? provider['base_url'] : name === BUILT_IN_PROVIDER ? ofOpenai : undefined;
  return typeof url === 'string' ? url : null;
}

/** Under this policy codex refuses every call that would have to be asked about, and tells only the model. */
function refusedServers({ mcp_servers: servers }: TomlTable): string[] {
  const asking = Object.entries(isTable(servers) ? servers : {}).filter(
    ([, server]) =>
      isTable(server) && server['enabled'] !== false && server['default_tools_approval_mode'] !== 'approve',
  );
  const names = asking.slice(0, NAMED).map(([name]) => toWellFormed(name.slice(0, NAME_CHARS)));
  return names.length === 0
    ? []
    : [
        `approvals.policy never: Codex refuses tools of ${names.join(', ')} that need approval; where they may run, ` +
          'set default_tools_approval_mode = "approve" of the server in codexConfig',
      ];
}

/** Names of left out settings in one warning, and the longest such name. */
const NAMED = 20;
const NAME_CHARS = 64;

/** What may be taken of the file of a seed or snapshot. */
function settingsOf(toml: string, warnings: string[]): TomlTable {
  const { taken, dropped } = settingsOfSeed(parseSeedConfig(toml));
  const isOurs = toml.startsWith(RENDERED);
  const named = dropped.filter((path) => !isOurs || !isOfWorker(path));
  if (named.length > 0) {
    const more = named.length > NAMED ? ` and ${named.length - NAMED} more` : '';
    const names = named.slice(0, NAMED).map((name) => toWellFormed(name.slice(0, NAME_CHARS)));
    warnings.push(
      `Left out of the seed's or snapshot's config.toml: ${names.join(', ')}${more}; only settings of model, ` +
        'provider, MCP servers and display are taken',
    );
  }
  return taken as TomlTable;
}

/** Where sandboxed commands can write, and where anybody on this machine can. */
function writablePlaces({ sandbox = {} }: ConfigInput, { work, cache, temp }: TaskPlaces): string[] {
  const granted = (sandbox.grants ?? []).flatMap(({ path, access }) => (access === 'rw' ? [path] : []));
  return [work, cache, temp, ...temporaryFolders(), ...granted];
}

function enforcedSettings(
  {
    dataDir,
    workDir,
    sandbox = {},
    approvals,
    env = {},
    workerEnv = {},
    passEnv = [],
    commandEnv = [],
    codex,
    closed,
    warnings = [],
  }: ConfigInput,
  places: TaskPlaces,
  writable: readonly string[],
): TomlTable {
  const { work } = places;
  const { PATH } = env;
  const needed = [...executablesOf(codex), ...CA_NAMES.flatMap((name) => workerEnv[name] ?? [])];
  const path = PATH ?? workerEnv['PATH'];
  return {
    ...sandboxSettings({ dataDir, workDir, sandbox, path, workerEnv, closed, needed, warnings }),
    approval_policy: approvals?.policy ?? 'on-request',
    // Its own reviewer would decide in place of rules, judge and people.
    approvals_reviewer: 'user',
    shell_environment_policy: commandPolicy({
      workerEnv,
      commandEnv,
      passEnv,
      network: sandbox.network === true || sandbox.mode === 'danger-full-access',
      warnings,
      // The shell of an approved command reads its start files from HOME.
      set: {
        ...homeEnvironment(places),
        ...env,
        ...(PATH !== undefined && { PATH: safePath(PATH, writable, places.bin) }),
      },
    }),
    // In a project that is trusted, or not named here, codex takes work/.codex/config.toml over this
    // file, sandbox and all. AGENTS.md is then read from CODEX_HOME only.
    projects: { [work]: { trust_level: 'untrusted' } },
    cli_auth_credentials_store: 'file',
    check_for_update_on_startup: false,
    analytics: { enabled: false },
    features: { ...FEATURES_OF_WORKER },
  };
}

function parseSeedConfig(text: string): TomlTable {
  try {
    const config = parse(text, { integersAsBigInt: 'asNeeded' });
    return isTable(config) ? config : {};
  } catch (error) {
    throw new TaskError('BadInput', `config.toml of the seed or snapshot is no TOML${placeOf(error)}`);
  }
}

/** The parser's own message and its stack hold lines of the file, which may hold a secret. */
function placeOf(error: unknown): string {
  if (!(error instanceof TomlError)) return '';
  const [, what] = /^Invalid TOML document: ([a-z :,.-]+)$/m.exec(error.message) ?? [];
  return ` (line ${error.line}, column ${error.column}${what === undefined ? '' : `: ${what}`})`;
}
