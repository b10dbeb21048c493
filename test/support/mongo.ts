import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { askShared } from './ask-shared.js';

export interface TestDatabase {
  /** Names a database that nobody else uses. */
  uri: string;
  /** Drops it. */
  close: () => Promise<void>;
}

/** A fresh database on MONGODB_URI, else on the run's one embedded server, which the first caller starts. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const server = process.env['MONGODB_URI'] || (await askShared('mongodb'));
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

function withDatabase(uri: string, name: string): string {
  const match = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?(\?.*)?$/.exec(uri);
  return `${match?.[1] ?? uri}/${name}${match?.[2] ?? ''}`;
}
