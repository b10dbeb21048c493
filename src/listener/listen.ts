import { createServer, type Server } from 'node:http';
import type Koa from 'koa';
import { TaskError } from '../errors.js';
import { boundConnections } from './strangers.js';

export interface Listening {
  readonly server: Server;
  /** The port in use, even when 0 was asked for. */
  readonly port: number;
  /** Takes no more connections and ends those that are open. */
  close(): Promise<void>;
}

/** Serves `app`. @throws TaskError `HostUnfit` when the address cannot be had */
export async function listen(app: Koa, { host, port }: { host: string; port: number }): Promise<Listening> {
  const handle = app.callback();
  // A subscriber whose machine is gone is noticed by the keep-alive of its connection.
  const options = {
    keepAlive: true,
    headersTimeout: HEADERS_MS,
    connectionsCheckingInterval: CHECK_MS,
    // Who reads a body bounds how long nothing comes of it: Node would cut one that comes slowly.
    requestTimeout: 0,
  };
  const server = createServer(options, (request, response) => void handle(request, response));
  boundConnections(server);
  await new Promise<void>((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) =>
      reject(new TaskError('HostUnfit', `Cannot listen on ${host}:${port} (${error.code}): ${ADVICE}`));
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      resolve();
    });
  });
  // One connection that cannot be taken ends neither the worker nor the others.
  server.on('error', (error) => app.emit('error', error));
  const address = server.address();
  return {
    server,
    port: typeof address === 'object' && address ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A client that sends no whole head of a request in this time is cut; Node waits a minute. */
const HEADERS_MS = 10_000;
const CHECK_MS = 2_000;

const ADVICE = 'stop the process that uses it or set CODEX_TASK_LISTEN';
