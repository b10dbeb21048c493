import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { MongoNetworkError } from 'mongodb';

/** The part of the driver's connection that is fixed here. */
interface DriverConnection {
  readonly socket: Socket;
  writeCommand: (this: DriverConnection, ...given: unknown[]) => Promise<void>;
}

const { Connection } = createRequire(import.meta.url)('mongodb/lib/cmap/connection.js') as {
  Connection: { prototype: DriverConnection };
};
const { prototype } = Connection;
const { writeCommand } = prototype;

/**
 * A write to a socket that has closed returns false, and then the driver (7.9.0) waits for its `drain`, which never
 * comes: the command never ends, and a client whose monitor waits so finds no server any more. Here such a write fails
 * like any other on a lost connection.
 */
prototype.writeCommand = async function (this: DriverConnection, ...given) {
  const { socket } = this;
  const lost = () => new MongoNetworkError('connection closed');
  if (socket.destroyed) throw lost();
  let onClose: () => void = () => undefined;
  const closed = new Promise<never>((_, reject) => (onClose = () => reject(lost())));
  socket.once('close', onClose);
  try {
    await Promise.race([writeCommand.apply(this, given), closed]);
  } finally {
    socket.off('close', onClose);
  }
};
