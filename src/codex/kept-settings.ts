import { parse, stringify } from 'smol-toml';
import { at, joinSecrets, splitSecrets, type Settings } from '../input/config-secrets.js';
import { dotted } from '../input/faults.js';
import { RENDERED } from './config-toml.js';
import { toWellFormed } from './well-formed.js';

/** The config.toml of a task in two files, for its snapshots. */
export interface KeptSettings {
  /** Without secrets. */
  readonly settings: string;
  /** Those alone; null: there is none. */
  readonly secrets: string | null;
}

/** What snapshots hold of a rendered config.toml; null when it is none. */
export function keptSettings(configToml: string): KeptSettings | null {
  const config = read(configToml);
  if (config === null) return null;
  const { plain, secrets } = splitSecrets(config);
  return {
    settings: RENDERED + stringify(plain),
    secrets: Object.keys(secrets).length === 0 ? null : stringify(secrets),
  };
}

/** Who may give what a snapshot was left without. */
export interface Givers {
  /** The secrets of the snapshot itself. */
  readonly sealed: string | null;
  readonly seed: string | null;
  readonly codexConfig: Settings;
}

/** The settings of a snapshot with its secrets, or a warning that names those which nobody gives. */
export function settingsOfSnapshot(
  configToml: string,
  { sealed, seed, codexConfig }: Givers,
  warnings: string[],
): string {
  const plain = read(configToml);
  // Whoever renders it says what is wrong with it.
  if (plain === null) return configToml;
  const missing: string[] = [];
  const givers = {
    sealed: read(sealed ?? '') ?? {},
    seed: read(seed ?? '') ?? {},
    isGiven: (path: readonly string[]) => at(codexConfig, path) !== undefined,
  };
  const joined = joinSecrets(plain, givers, (path) => missing.push(dotted(path)));
  if (missing.length > 0) warnings.push(warningOf(missing));
  return (configToml.startsWith(RENDERED) ? RENDERED : '') + stringify(joined);
}

const NAMED = 20;
const NAME_CHARS = 128;

function warningOf(missing: readonly string[]): string {
  const names = missing.slice(0, NAMED).map((name) => toWellFormed(name.slice(0, NAME_CHARS)));
  const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : '';
  return (
    `Left out of the snapshot, and in neither the seed nor codexConfig: ${names.join(', ')}${more}; give it in ` +
    'codexConfig, or by passEnv with env_vars, env_http_headers, bearer_token_env_var or env_key'
  );
}

function read(toml: string): Settings | null {
  try {
    return parse(toml, { integersAsBigInt: 'asNeeded' });
  } catch {
    return null;
  }
}
