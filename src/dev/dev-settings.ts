import { join } from 'node:path';
import { readConfig, type Config } from '../config.js';
import { makeEphemeralFolder } from './ephemeral-folder.js';
import { freePort, requireFreePort } from './free-port.js';
import type { Stack } from './stack.js';

export interface DevSettings {
  config: Config;
  /** The caller's environment with the data folder and the listener's address filled in. */
  env: NodeJS.ProcessEnv;
  /** Of the servers: their data, sockets, logs and pid files. */
  stackFolder: string;
}

/**
 * The settings of one `dev`. With `ephemeral` a fresh data folder and a free port; port 0 becomes a free one
 * too, so that a worker that is started again has the same address.
 * @throws TaskError `BadInput` for wrong settings, `Unavailable` when the listener's port is taken
 */
export async function readDevSettings(given: NodeJS.ProcessEnv, ephemeral: boolean): Promise<DevSettings> {
  const asked = readConfig(given);
  const { host, port } = asked.listen;
  const anyPort = port === 0 || (ephemeral && !given['CODEX_TASK_LISTEN']);
  if (!anyPort) await requireFreePort(port, 'stop what listens there or set CODEX_TASK_LISTEN', host);
  const listen = { host, port: anyPort ? await freePort(host) : port };
  const dataDir = ephemeral ? await makeEphemeralFolder(given) : asked.dataDir;
  const env = { ...given, CODEX_TASK_DATA_DIR: dataDir, CODEX_TASK_LISTEN: addressOf(listen) };
  return { config: readConfig(env), env, stackFolder: join(dataDir, 'dev') };
}

/**
 * What a worker and every other command need against this stack, on top of an environment that has the
 * secrets: the given settings and the made ones, without any value that is secret.
 */
export function commandEnv(env: NodeJS.ProcessEnv, stack: Stack): Record<string, string> {
  const settings = Object.entries(env).filter(
    (entry): entry is [string, string] => isSetting(entry[0], env) && entry[1] !== undefined,
  );
  return { ...Object.fromEntries(settings), ...withoutPassword(stack.env) };
}

/** The worker's whole environment. */
export function workerEnv(env: NodeJS.ProcessEnv, stack: Stack): NodeJS.ProcessEnv {
  const inherited = Object.entries(env).filter(
    ([name]) => !name.startsWith('TEMPORAL_') || env['TEMPORAL_ADDRESS'],
  );
  return { ...Object.fromEntries(inherited), ...stack.env, CODEX_TASK_DRAIN: 'stop' };
}

/** The same URI with its password, if it has one, unreadable. */
export const readableUri = (uri: string): string => uri.replace(PASSWORD, '$1***@');

/** `http://…` of the listener's address. */
export const listenerUrlOf = ({ publicUrl, listen }: Config): string =>
  publicUrl ?? `http://${addressOf(listen)}`;

const PASSWORD = /^(mongodb(?:\+srv)?:\/\/[^/?@]*:)[^/?@]*@/;
const SECRETS = new Set([
  'CODEX_TASK_LISTENER_SECRET',
  'CODEX_TASK_SEED_KEY',
  'CODEX_TASK_PAYLOAD_KEY',
  'CODEX_TASK_DRAIN',
]);

/** Temporal's settings besides address and namespace count only when it was the environment that named the server. */
function isSetting(name: string, env: NodeJS.ProcessEnv): boolean {
  if (name.startsWith('CODEX_TASK_')) return !SECRETS.has(name) && !name.startsWith('CODEX_TASK_TEST_');
  return (
    name.startsWith('TEMPORAL_') && Boolean(env['TEMPORAL_ADDRESS']) && !/API_KEY|_DATA$|GRPC_META/.test(name)
  );
}

function withoutPassword(env: Stack['env']): Record<string, string> {
  const { MONGODB_URI, ...rest } = env;
  return PASSWORD.test(MONGODB_URI) ? rest : env;
}

const addressOf = ({ host, port }: Config['listen']) => `${host.includes(':') ? `[${host}]` : host}:${port}`;
