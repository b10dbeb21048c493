import { CA_NAMES, NO_PROXY_NAMES, PROXY_NAMES, withLoopback } from './child-environment.js';
import { API_KEY_VARIABLE } from './api-key.js';
import { isTable, type TomlTable } from './toml-values.js';

/** What codex itself gives a command of its environment with `inherit = "core"`. */
const CORE = [
  ...['HOME', 'LOGNAME', 'PATH', 'SHELL', 'USER', 'USERNAME', 'TMPDIR', 'TEMP', 'TMP'],
  ...['LANG', 'LC_ALL', 'LC_CTYPE', 'TERM', 'TZ'],
];

export interface CommandEnvironment {
  readonly workerEnv: NodeJS.ProcessEnv;
  readonly network: boolean;
  /** Variables of the worker that its operator lets commands have as they are. */
  readonly commandEnv: readonly string[];
  /** Names that codex has and commands must not have. */
  readonly passEnv: readonly string[];
  /** What each command gets in any case. */
  readonly set: Readonly<Record<string, string>>;
  readonly warnings: string[];
}

/**
 * The policy by which commands get their environment. What the operator names they get out of codex's, so that no
 * value of it is in a file, which snapshots would keep.
 */
export function commandPolicy({
  workerEnv,
  network,
  commandEnv,
  passEnv,
  set,
  warnings,
}: CommandEnvironment): TomlTable {
  const passed = commandEnv.filter((name) => workerEnv[name] !== undefined && !Object.hasOwn(set, name));
  const all = {
    ...(network ? networkOf(workerEnv, passed, warnings) : {}),
    ...set,
  };
  if (passed.length === 0) return { inherit: 'core', set: all };
  return {
    inherit: 'all',
    // Of a name like `GITHUB_TOKEN` too: the operator wants it.
    ignore_default_excludes: true,
    // The list below is read without regard to case.
    exclude: [API_KEY_VARIABLE, ...passEnv.filter((name) => !passed.includes(name) && !CORE.includes(name))],
    set: all,
    include_only: [...new Set([...CORE, ...passed, ...Object.keys(all)])],
  };
}

/** What programs that use the network need to know of it; of a proxy never the login. */
function networkOf(
  workerEnv: NodeJS.ProcessEnv,
  passed: readonly string[],
  warnings: string[],
): Record<string, string> {
  const names = [...PROXY_NAMES, ...CA_NAMES].filter((name) => !passed.includes(name));
  const given = names.flatMap((name): [string, string][] =>
    workerEnv[name] ? [[name, workerEnv[name]]] : [],
  );
  const open = given.map(([name, value]): [string, string] => [name, withoutLogin(value)]);
  const locked = given.filter(([, value], index) => value !== open[index]![1]).map(([name]) => name);
  if (locked.length > 0)
    warnings.push(
      `Commands get ${locked.join(', ')} without the login: to pass it on, name the variables in ` +
        'CODEX_TASK_COMMAND_ENV',
    );
  return { ...Object.fromEntries(open), ...withLoopback(workerEnv) };
}

const withoutLogin = (value: string): string => value.replace(/^([a-z0-9+.-]+:\/\/)?[^/]*@/i, '$1');

/** Lets MCP servers, which run outside the sandbox, have what codex has of proxies and certificates. */
export function withNetworkVariables(config: TomlTable, workerEnv: NodeJS.ProcessEnv): TomlTable {
  const { mcp_servers: servers } = config;
  const isBehindProxy = PROXY_NAMES.some((name) => workerEnv[name]);
  const names = [
    ...[...PROXY_NAMES, ...CA_NAMES].filter((name) => workerEnv[name]),
    ...(isBehindProxy ? NO_PROXY_NAMES : []),
  ];
  if (!isTable(servers) || names.length === 0) return config;
  const changed = Object.entries(servers).map(([id, server]) => {
    if (!isTable(server) || server['command'] === undefined) return [id, server];
    const { env_vars: given = [], env } = server;
    if (!Array.isArray(given)) return [id, server];
    const missing = names.filter(
      (name) => !given.includes(name) && !(isTable(env) && Object.hasOwn(env, name)),
    );
    return [id, { ...server, env_vars: [...given, ...missing] }];
  });
  return { ...config, mcp_servers: Object.fromEntries(changed) as TomlTable };
}
