import { Client, Connection, type ConnectionLike, type ConnectionOptions } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { clientConverter } from '../codec/data-converter.js';
import { PAYLOAD_KEY, payloadKeysFrom } from '../codec/payload-keys.js';
import { reasonOf, TaskError } from '../errors.js';
import { retryUntilClosed } from './retry-until-closed.js';
import { directToLoopback, temporalProxyHint } from '../proxies.js';

export interface TemporalLink {
  readonly client: Client;
  readonly connection: Connection;
  readonly namespace: string;
  readonly address: string;
  close(): Promise<void>;
}

/** What it takes to ask the server; a connection of a worker's native core can do it too. */
export interface TemporalAccess {
  readonly client: Client;
  readonly connection: Pick<ConnectionLike, 'withDeadline' | 'workflowService' | 'operatorService'>;
  readonly namespace: string;
  readonly address: string;
}

export interface ConnectOptions {
  /** Milliseconds after which the server counts as out of reach. */
  timeoutMs?: number | undefined;
  /** As `CODEX_TASK_PAYLOAD_KEY`, which it takes the place of. */
  payloadKey?: string | undefined;
}

/** grpc-js waits up to 120 s between two attempts, so a client stays deaf long after an outage. */
const MAX_RECONNECT_BACKOFF_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Connects by Temporal's own variables and configuration file; payloads are encrypted with `CODEX_TASK_PAYLOAD_KEY`.
 * @throws TaskError `Unavailable` when the server does not answer in time, `BadInput` for wrong settings
 */
export async function connectTemporal(
  env: NodeJS.ProcessEnv,
  { timeoutMs = CONNECT_TIMEOUT_MS, payloadKey = env[PAYLOAD_KEY] }: ConnectOptions = {},
): Promise<TemporalLink> {
  const dataConverter = clientConverter(payloadKeysFrom(payloadKey));
  const { connectionOptions, namespace } = connectionSettings(env);
  const address = connectionOptions.address ?? 'localhost:7233';
  const connection = Connection.lazy({
    ...connectionOptions,
    connectTimeout: timeoutMs,
    interceptors: [retryUntilClosed],
    channelArgs: { 'grpc.max_reconnect_backoff_ms': MAX_RECONNECT_BACKOFF_MS, ...directToLoopback(address) },
  });
  try {
    await connection.ensureConnected();
  } catch (error) {
    await connection.close();
    throw new TaskError(
      'Unavailable',
      `Temporal not reachable at ${address}: start it or set TEMPORAL_ADDRESS (codex-task dev starts one)${temporalProxyHint(address, env)}`,
      { cause: error },
    );
  }
  const client = new Client({ connection, namespace, dataConverter });
  return { client, connection, namespace, address, close: () => connection.close() };
}

/**
 * The id of the namespace; null where the server hides it.
 * @throws TaskError `BadInput` when the server has no such namespace, `Unavailable` when it does not say
 */
export async function requireNamespace({
  connection,
  namespace,
  address,
}: TemporalAccess): Promise<string | null> {
  try {
    const { namespaceInfo } = await connection.withDeadline(Date.now() + CONNECT_TIMEOUT_MS, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
    return namespaceInfo?.id || null;
  } catch (error) {
    const { code, details } = error as { code?: unknown; details?: unknown };
    if (code === GRPC_NOT_FOUND)
      throw new TaskError(
        'BadInput',
        `Temporal at ${address} has no namespace ${namespace}: create it or set TEMPORAL_NAMESPACE`,
        { cause: error },
      );
    // A server may hide this from those who may yet work in the namespace.
    if (code === GRPC_PERMISSION_DENIED) return null;
    const reason = typeof details === 'string' ? details : reasonOf(error);
    throw new TaskError('Unavailable', `Temporal at ${address} does not answer (${reason}): try again`, {
      cause: error,
    });
  }
}

const GRPC_NOT_FOUND = 5;
const GRPC_PERMISSION_DENIED = 7;

/** What connects to the server these variables name: for a client and for a worker alike. */
export function connectionSettings(env: NodeJS.ProcessEnv): {
  connectionOptions: Pick<ConnectionOptions, 'address' | 'tls' | 'metadata'> & { apiKey?: string };
  namespace: string;
} {
  try {
    const overrideEnvVars = Object.fromEntries(
      Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars });
    const { address, tls, metadata, apiKey } = connectionOptions;
    return {
      connectionOptions: {
        ...(address && { address }),
        ...(tls !== undefined && { tls }),
        ...(metadata && { metadata }),
        ...(typeof apiKey === 'string' && { apiKey }),
      },
      namespace: namespace ?? 'default',
    };
  } catch (error) {
    throw new TaskError('BadInput', `Wrong Temporal settings: ${reasonOf(error)}`, { cause: error });
  }
}
