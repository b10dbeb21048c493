import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Two ends of a connection, gone with the test. */
export async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  const far = once(server, 'connection') as Promise<[Socket]>;
  await once(server, 'listening');
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [peer] = await far;
  onTestFinished(() => {
    near.destroy();
    peer.destroy();
    server.close();
  });
  return [near, peer];
}
