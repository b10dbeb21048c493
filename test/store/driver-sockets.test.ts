import { once } from 'node:events';
import { createServer, connect, type AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import { expect, it, onTestFinished } from 'vitest';
import '../../src/store/driver-sockets.js';

type Write = (this: object, command: object, options: object) => Promise<void>;
const { Connection } = createRequire(import.meta.url)('mongodb/lib/cmap/connection.js') as {
  Connection: { prototype: { writeCommand: Write } };
};
const { prototype } = Connection;

/** As the driver has it, with a command of so many bytes. */
const write = (socket: object, bytes: number) =>
  prototype.writeCommand.call(
    { socket, onError: () => undefined },
    { toBin: () => Promise.resolve([Buffer.alloc(bytes)]) },
    { agreedCompressor: 'none' },
  );

async function connected() {
  const server = createServer((each) => each.pause().on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  return socket;
}

it('a command on a closed connection fails at once', async () => {
  const socket = await connected();
  socket.destroy();
  await once(socket, 'close');
  await expect(write(socket, 10)).rejects.toThrow('connection closed');
});

it('a command fails when its connection closes during the write', async () => {
  const socket = await connected();
  // More than the system takes of what nobody reads.
  const written = write(socket, 64 * 1024 * 1024);
  setImmediate(() => socket.destroy());
  await expect(written).rejects.toThrow('connection closed');
});

it('a command on a living connection is written', async () => {
  const socket = await connected();
  await write(socket, 10);
  expect(socket.listenerCount('close')).toBeLessThan(3);
});
