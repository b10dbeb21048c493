import { once } from 'node:events';
import { connect } from 'node:net';
import { MongoClient } from 'mongodb';
import type { ServerProcess } from '../server-process.js';
import { DEFAULT_DATABASE } from './mongo-server.js';

const SELECTION_MS = 5_000;

/** URI of the default database behind a unix socket. */
export const socketUri = (path: string): string =>
  `mongodb://${encodeURIComponent(path)}/${DEFAULT_DATABASE}`;

/** @throws TaskError `Unavailable` when the server ends or does not answer in a minute */
export function untilAnswering(server: ServerProcess, socket: string, signal: AbortSignal): Promise<void> {
  return server.until(async () => {
    // Without a listener a driver would look again only after half a second.
    await reach(socket);
    const client = new MongoClient(socketUri(socket), { serverSelectionTimeoutMS: SELECTION_MS });
    try {
      await client.db().command({ ping: 1 });
      return true;
    } finally {
      await client.close();
    }
  }, signal);
}

async function reach(socket: string): Promise<void> {
  const connection = connect(socket);
  try {
    await once(connection, 'connect');
  } finally {
    connection.destroy();
  }
}
