import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../src/errors.js';
import type { StackOptions } from '../../src/dev/first-that-works.js';
import { startMongodb } from '../../src/dev/mongodb/choose-mongodb.js';
import type { MongoServer } from '../../src/dev/mongodb/mongo-server.js';
import { runRoot } from './run-root.js';

/** Where the test processes of a run ask for its shared servers. */
export const sharedServersSocket = (): string => join(runRoot(), SHARED_FOLDER, 'ask.sock');

export const SHARED_FOLDER = 'shared';

/** Options for servers of this run's own; progress goes to stderr. */
export function stackOptions(folder: string, signal: AbortSignal, env = process.env): StackOptions {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  return { folder, ephemeral: true, say, signal, env };
}

/**
 * Answers `GET /mongodb` with the URI of one server per run, started when the first test asks.
 * @returns its end: the servers stop
 */
export async function offerSharedServers(): Promise<() => Promise<void>> {
  const folder = join(runRoot(), SHARED_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ended = new AbortController();
  let mongodb: Promise<MongoServer> | undefined;
  const offer = createServer((_, response) => {
    mongodb ??= startMongodb(stackOptions(folder, ended.signal));
    mongodb.then(
      ({ uri }) => response.end(uri),
      (error: unknown) => response.writeHead(500).end(reasonOf(error)),
    );
  });
  offer.listen(sharedServersSocket());
  await once(offer, 'listening');
  return async () => {
    offer.close();
    offer.closeAllConnections();
    ended.abort();
    const server = await mongodb?.catch(() => undefined);
    await server?.close();
  };
}
