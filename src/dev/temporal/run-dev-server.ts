import { Connection } from '@temporalio/client';
import { join } from 'node:path';
import { SEARCH_ATTRIBUTES } from '../../search-attributes.js';
import type { StackOptions } from '../first-that-works.js';
import { freePort, requireFreePort } from '../free-port.js';
import { endLeftoverServer, startServerProcess, type ServerProcess } from '../server-process.js';
import type { TemporalServer } from './temporal-server.js';

/**
 * Runs `temporal server start-dev` and returns once its namespace can be used. Without `ephemeral` its data
 * lies in the folder and its ports are Temporal's usual ones.
 * @throws TaskError `Unavailable` when a port is taken or the server does not come up
 */
export async function runDevServer(executable: string, options: StackOptions): Promise<TemporalServer> {
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
      ...['--namespace', NAMESPACE, '--log-level', 'error'],
      // Nothing here looks for newer versions.
      ...['--dynamic-config-value', 'frontend.enableServerVersionCheck=false'],
      ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
      ...(ephemeral ? [] : ['--db-filename', join(folder, 'temporal.db')]),
    ],
    folder,
    env,
  });
  const address = `${HOST}:${port}`;
  try {
    await untilUsable(server, address, signal);
  } catch (error) {
    await server.stop();
    throw error;
  }
  const { ended, stop: close } = server;
  return { address, namespace: NAMESPACE, uiUrl: `http://${HOST}:${uiPort}`, ended, close };
}

const NAME = 'temporal';
const HOST = '127.0.0.1';
const NAMESPACE = 'default';
const ANSWER_MS = 5_000;

async function usualPorts(): Promise<{ port: number; uiPort: number }> {
  const [port, uiPort] = [7233, 8233];
  const advice = 'end what listens there, set TEMPORAL_ADDRESS to use it, or take --ephemeral';
  await requireFreePort(port, advice);
  await requireFreePort(uiPort, advice);
  return { port, uiPort };
}

/** It takes connections before its namespace and search attributes are there. */
async function untilUsable(server: ServerProcess, address: string, signal: AbortSignal): Promise<void> {
  const connection = Connection.lazy({ address, channelArgs: QUICK_RECONNECT });
  const usable = async () => {
    await connection.workflowService.describeNamespace({ namespace: NAMESPACE });
    const known = await connection.operatorService.listSearchAttributes({ namespace: NAMESPACE });
    return SEARCH_ATTRIBUTES.every((name) => Object.hasOwn(known.customAttributes, name));
  };
  try {
    await server.until(() => connection.withDeadline(Date.now() + ANSWER_MS, usable), signal);
  } finally {
    await connection.close();
  }
}

const QUICK_RECONNECT = {
  'grpc.initial_reconnect_backoff_ms': 25,
  'grpc.min_reconnect_backoff_ms': 25,
  'grpc.max_reconnect_backoff_ms': 100,
};
