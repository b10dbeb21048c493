import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { TaskError } from '../errors.js';

/**
 * A port on `host` that nothing listens on. The kernel gives it to nobody else for a minute: a connection of
 * ours, closed from the listening side, is left on it in TIME_WAIT.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer((socket) => socket.end());
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect(port, host);
  client.resume();
  await once(client, 'close');
  server.close();
  await once(server, 'close');
  return port;
}

/** @throws TaskError `Unavailable` when something listens on the port */
export async function requireFreePort(port: number, advice: string, host = '127.0.0.1'): Promise<void> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    throw new TaskError('Unavailable', `port ${port} is taken: ${advice}`, { cause: error });
  }
  server.close();
  await once(server, 'close');
}
