import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { MongoClient } from 'mongodb';
import { sharedServersSocket } from './shared-servers.js';

export interface TestDatabase {
  /** Names a database that nobody else uses. */
  uri: string;
  /** Drops it. */
  close: () => Promise<void>;
}

/** A fresh database on MONGODB_URI, else on the run's one embedded server, which the first caller starts. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const server = process.env['MONGODB_URI'] || (await sharedMongodb());
  const uri = withDatabase(server, `test_${randomBytes(6).toString('hex')}`);
  return {
    uri,
    close: async () => {
      const client = new MongoClient(uri);
      try {
        await client.db().dropDatabase();
      } finally {
        await client.close();
      }
    },
  };
}

async function sharedMongodb(): Promise<string> {
  const [status, body] = await new Promise<[number | undefined, string]>((resolve, reject) => {
    const call = request({ socketPath: sharedServersSocket(), path: '/mongodb' }, (response) => {
      text(response).then((answer) => resolve([response.statusCode, answer]), reject);
    });
    call.once('error', reject);
    call.end();
  });
  if (status === 200) return body;
  throw new Error(body);
}

function withDatabase(uri: string, name: string): string {
  const match = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?(\?.*)?$/.exec(uri);
  return `${match?.[1] ?? uri}/${name}${match?.[2] ?? ''}`;
}
