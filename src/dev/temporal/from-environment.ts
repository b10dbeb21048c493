import { loadClientConnectConfig } from '@temporalio/envconfig';
import { Connection } from '@temporalio/client';
import { reasonOf, TaskError } from '../../errors.js';
import { directToLoopback, temporalProxyHint } from '../../proxies.js';
import { retryUntilClosed } from '../../client/retry-until-closed.js';
import type { TemporalWay } from './temporal-server.js';

/** The server that TEMPORAL_ADDRESS names, with Temporal's other variables (TLS, API key) as they are. */
export const fromEnvironment: TemporalWay = async ({ env }) => {
  const address = env['TEMPORAL_ADDRESS'];
  if (!address) return { because: 'no TEMPORAL_ADDRESS' };
  return { what: `TEMPORAL_ADDRESS ${address}`, start: () => connectOnce(address, env) };
};

// Not ours: whether it ends does not concern us.
const NEVER = new Promise<string>(() => undefined);
const CONNECT_MS = 5_000;

async function connectOnce(address: string, env: NodeJS.ProcessEnv) {
  const overrideEnvVars = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig({ overrideEnvVars });
  try {
    const connection = await Connection.connect({
      ...connectionOptions,
      connectTimeout: CONNECT_MS,
      interceptors: [retryUntilClosed],
      channelArgs: directToLoopback(connectionOptions.address ?? address),
    });
    await connection.close();
  } catch (error) {
    throw new TaskError(
      'Unavailable',
      `No Temporal server answers at TEMPORAL_ADDRESS ${address}: ${reasonOf(error)}; start it or unset the variable${temporalProxyHint(address, env)}`,
      { cause: error },
    );
  }
  return { address, namespace, uiUrl: null, ended: NEVER, close: () => Promise.resolve() };
}
