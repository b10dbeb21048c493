import { createServer, type Server } from 'node:http';
import type Koa from 'koa';
import { TaskError } from '../errors.js';

export interface Listening {
  readonly server: Server;
  /** The port in use, also when 0 was asked for. */
  readonly port: number;
  /** Takes no more connections and ends those that are open. */
  close(): Promise<void>;
}

/** Serves `app`. @throws TaskError `HostUnfit` when the address cannot be had */
export async function listen(app: Koa, { host, port }: { host: string; port: number }): Promise<Listening> {
  const handle = app.callback();
  // A subscriber whose machine is gone is noticed by the keep-alive of its connection.
  const server = createServer({ keepAlive: true }, (request, response) => void handle(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new TaskError('HostUnfit', `Cannot listen on ${host}:${port} (${error.code}): ${ADVICE}`)),
    );
    server.listen(port, host, resolve);
  });
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

const ADVICE = 'stop what uses it or set CODEX_TASK_LISTEN';
