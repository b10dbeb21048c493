import { Connection } from '@temporalio/client';
import { join } from 'node:path';
import { directToLoopback } from '../../proxies.js';
import { SEARCH_ATTRIBUTES } from '../../temporal/search-attributes.js';
import { retryUntilClosed } from '../../client/retry-until-closed.js';
import type { StackOptions } from '../first-that-works.js';
import { freePort, requireFreePort } from '../free-port.js';
import { endLeftoverServer, startServerProcess, type ServerProcess } from '../server-process.js';
import type { TemporalServer } from './temporal-server.js';

/**
 * Runs `temporal server start-dev` and returns once its namespaces can be used, the first of which it names. Without
 * `ephemeral` its data lies in the folder and its ports are Temporal's usual ones.
 * @param dynamicConfig values of the server's dynamic configuration, by their keys
 * @throws TaskError `Unavailable` when a port is taken or the server does not come up
 */
export async function runDevServer(
  executable: string,
  options: StackOptions,
  namespaces: readonly [string, ...string[]] = ['default'],
  dynamicConfig: Readonly<Record<string, number | boolean>> = {},
): Promise<TemporalServer> {
  const { folder, ephemeral, env, signal } = options;
  await endLeftoverServer(folder, NAME);
  const { port, uiPort } = ephemeral
    ? { port: await freePort(), uiPort: await freePort() }
    : await usualPorts();
  const server = await startServerProcess({
    name: NAME,
    command: executable,
    args: [
      ...['server', 'start-dev', '--ip', HOST, '--port', String(port), '--ui-port', String(uiPort)],
      ...namespaces.flatMap((name) => ['--namespace', name]),
      ...['--log-level', 'error'],
      ...Object.entries({ ...OFFLINE, ...dynamicConfig }).flatMap(([key, value]) => [
        '--dynamic-config-value',
        `${key}=${value}`,
      ]),
      ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
      ...(ephemeral ? [] : ['--db-filename', join(folder, 'temporal.db')]),
    ],
    folder,
    env,
  });
  const address = `${HOST}:${port}`;
  try {
    await untilUsable(server, { address, namespaces }, signal);
  } catch (error) {
    await server.stop();
    throw error;
  }
  const { ended, stop: close } = server;
  return { address, namespace: namespaces[0], uiUrl: `http://${HOST}:${uiPort}`, ended, close };
}

/** Nothing here looks for newer versions. */
const OFFLINE = { 'frontend.enableServerVersionCheck': false };
const NAME = 'temporal';
const HOST = '127.0.0.1';
const ANSWER_MS = 5_000;

async function usualPorts(): Promise<{ port: number; uiPort: number }> {
  const [port, uiPort] = [7233, 8233];
  const advice = 'stop what listens there, set TEMPORAL_ADDRESS to use it, or pass --ephemeral';
  await requireFreePort(port, advice);
  await requireFreePort(uiPort, advice);
  return { port, uiPort };
}

/** It takes connections before its namespaces and search attributes are there. */
async function untilUsable(
  server: ServerProcess,
  { address, namespaces }: { address: string; namespaces: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const connection = Connection.lazy({
    address,
    interceptors: [retryUntilClosed],
    channelArgs: { ...QUICK_RECONNECT, ...directToLoopback(address) },
  });
  const isUsable = async (namespace: string) => {
    await connection.workflowService.describeNamespace({ namespace });
    const known = await connection.operatorService.listSearchAttributes({ namespace });
    return SEARCH_ATTRIBUTES.every((name) => Object.hasOwn(known.customAttributes, name));
  };
  const areUsable = async () => (await Promise.all(namespaces.map(isUsable))).every(Boolean);
  try {
    await server.until(() => connection.withDeadline(Date.now() + ANSWER_MS, areUsable), signal);
  } finally {
    await connection.close();
  }
}

const QUICK_RECONNECT = {
  'grpc.initial_reconnect_backoff_ms': 25,
  'grpc.min_reconnect_backoff_ms': 25,
  'grpc.max_reconnect_backoff_ms': 100,
};
