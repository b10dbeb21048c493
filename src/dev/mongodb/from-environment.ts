import { MongoClient } from 'mongodb';
import { reasonOf, TaskError } from '../../errors.js';
import { DEFAULT_DATABASE, type MongoWay } from './mongo-server.js';

/** The server that MONGODB_URI names. */
export const fromEnvironment: MongoWay = async ({ env }) => {
  const given = env['MONGODB_URI'];
  if (!given) return { because: 'no MONGODB_URI' };
  return { what: 'MONGODB_URI', start: () => connectOnce(withDatabase(given)) };
};

/** Puts the default database into a URI that names none. */
export function withDatabase(uri: string): string {
  const match = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/([^?]*))?(\?.*)?$/.exec(uri);
  if (!match?.[1]) return uri;
  return `${match[1]}/${match[2] || DEFAULT_DATABASE}${match[3] ?? ''}`;
}

// Not ours: whether it ends does not concern us.
const NEVER = new Promise<string>(() => undefined);
const CONNECT_MS = 5_000;

async function connectOnce(uri: string) {
  try {
    const client = new MongoClient(uri, { serverSelectionTimeoutMS: CONNECT_MS });
    try {
      await client.db().command({ ping: 1 });
    } finally {
      await client.close();
    }
  } catch (error) {
    throw new TaskError(
      'Unavailable',
      `No MongoDB answers at MONGODB_URI: ${reasonOf(error)}; start it or unset the variable`,
      { cause: error },
    );
  }
  return { uri, ended: NEVER, close: () => Promise.resolve() };
}
