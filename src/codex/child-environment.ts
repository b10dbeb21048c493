import { join } from 'node:path';
import { TaskError } from '../errors.js';
import { isOfCodex, nameRefusal, OWNED_NAMES, TRUST_NAMES } from '../input/environment-names.js';
import { safePath } from './task-places.js';
import { API_KEY_VARIABLE } from './api-key.js';

export interface ChildEnvironmentInput {
  workerEnv: NodeJS.ProcessEnv;
  /** The task's own home folder. */
  home: string;
  codexHome: string;
  /** Names let through from the worker's environment; those it has not are left out. */
  passEnv?: readonly string[] | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  /** Name of the worker's variable with the provider's API key; codex gets it as `API_KEY_VARIABLE`. */
  apiKeyEnv?: string | undefined;
}

/**
 * The whole environment of a task's codex: an allow-list of the worker's, the task's own folders, then
 * `passEnv`, then of `env` what does not say where codex's tokens go.
 * @throws TaskError `BadInput` on a name or value that no environment can hold, a name the task may not set,
 * and an API key variable that this host has not
 */
export function childEnvironment(input: ChildEnvironmentInput): Record<string, string> {
  const { workerEnv, home, codexHome, passEnv = [], env = {}, apiKeyEnv } = input;
  passEnv.forEach((name, index) => checkName(name, `passEnv[${index}]`));
  for (const [name, value] of Object.entries(env)) checkVariable(name, value);
  const given = Object.entries(workerEnv).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && (isBase(entry[0]) || passEnv.includes(entry[0])),
  );
  const ofTask = Object.entries(env).filter(([name]) => !isOfCodex(name) && !TRUST_NAMES.includes(name));
  const variables = { ...Object.fromEntries(given), ...Object.fromEntries(ofTask) };
  return {
    ...variables,
    ...withLoopback(variables),
    ...(apiKeyEnv === undefined ? {} : { [API_KEY_VARIABLE]: apiKey(workerEnv, apiKeyEnv) }),
    // Relative entries would depend on where a program is started.
    ...pathOf(env['PATH'] ?? workerEnv['PATH']),
    HOME: home,
    CODEX_HOME: codexHome,
    // What configuration and hooks of a repository name would run outside the sandbox.
    GIT_DIR: '/dev/null',
    XDG_CONFIG_HOME: join(home, '.config'),
    XDG_DATA_HOME: join(home, '.local', 'share'),
    XDG_STATE_HOME: join(home, '.local', 'state'),
    XDG_CACHE_HOME: join(home, '.cache'),
  };
}

/** The warning about names in a task's `env` that codex does not get. New tasks cannot have them. */
export function namesForCommandsOnly(env: Readonly<Record<string, string>>): string[] {
  const names = Object.keys(env).filter(isOfCodex);
  return names.length === 0
    ? []
    : [
        `env: only commands get ${names.slice(0, MAX_NAMED).join(', ')}: for codex the worker alone sets names that begin with CODEX_`,
      ];
}

const MAX_NAMED = 20;
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/**
 * A model or MCP server on loopback is reached without a proxy. Both spellings get what either has: which of them a
 * program reads, differs (reqwest of codex reads the upper-case one first).
 */
export function withLoopback(variables: Readonly<NodeJS.ProcessEnv>): Record<string, string> {
  if (!PROXY_NAMES.some((name) => variables[name])) return {};
  const given = [variables['NO_PROXY'], variables['no_proxy']].flatMap((list) => (list ?? '').split(','));
  const names = [...given.map((each) => each.trim()), ...LOOPBACK].filter((each) => each !== '');
  const list = [...new Set(names)].join(',');
  return { NO_PROXY: list, no_proxy: list };
}

const pathOf = (path: string | undefined): Record<string, string> =>
  path === undefined ? {} : { PATH: safePath(path, []) };

/** Values of a codex's environment that no message may hold: all but what every codex gets. */
export const secretsOf = (environment: Readonly<Record<string, string>>): string[] =>
  Object.entries(environment)
    .filter(([name, value]) => (!isBase(name) || hasLogin(name, value)) && !OWNED_NAMES.includes(name))
    .flatMap(([name, value]) => (hasLogin(name, value) ? [value, loginOf(value)] : [value]));

const hasLogin = (name: string, value: string) => PROXY_NAMES.includes(name) && value.includes('@');
const loginOf = (url: string) =>
  url.slice(url.indexOf('//') === -1 ? 0 : url.indexOf('//') + 2, url.lastIndexOf('@'));

const isBase = (name: string) => BASE.has(name) || name.startsWith('LC_');

const bothCases = (names: readonly string[]) => [...names, ...names.map((name) => name.toLowerCase())];
export const PROXY_NAMES = bothCases(['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY']);
export const NO_PROXY_NAMES = bothCases(['NO_PROXY']);
/** Where usual programs find certificates of a private authority. */
export const CA_NAMES = [
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'CODEX_CA_CERTIFICATE',
  'NODE_EXTRA_CA_CERTS',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'PIP_CERT',
  'CARGO_HTTP_CAINFO',
  'AWS_CA_BUNDLE',
];
const BASE = new Set([
  'PATH',
  'LANG',
  'TERM',
  'TZ',
  ...PROXY_NAMES,
  ...NO_PROXY_NAMES,
  ...CA_NAMES,
  'CODEX_REFRESH_TOKEN_URL_OVERRIDE',
  'RUST_LOG',
  'GIT_DIR',
]);

function apiKey(workerEnv: NodeJS.ProcessEnv, name: string): string {
  checkName(name, 'credential.apiKeyEnv');
  const value = workerEnv[name];
  if (value) return value;
  throw new TaskError('BadInput', `credential.apiKeyEnv: ${name} is not set in the worker's environment`);
}

function checkVariable(name: string, value: unknown): void {
  checkName(name, `env.${name}`);
  if (typeof value === 'string' && !value.includes('\0')) return;
  throw new TaskError('BadInput', `env.${name}: expected a string without NUL, got ${typeof value}`);
}

function checkName(name: string, path: string): void {
  const refusal = nameRefusal(name);
  if (refusal !== null) throw new TaskError('BadInput', `${path}: ${WHY[refusal](name)}`);
}

const WHY = {
  malformed: (name: string) => `expected the name of a variable, got ${JSON.stringify(name)}`,
  owned: (name: string) => `${name} is set by the worker`,
  'of the worker': (name: string) => `${name} is the worker's own`,
};
