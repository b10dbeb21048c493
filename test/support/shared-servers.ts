import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../src/errors.js';
import type { StackOptions } from '../../src/dev/first-that-works.js';
import { startMongodb } from '../../src/dev/mongodb/choose-mongodb.js';
import type { MongoServer } from '../../src/dev/mongodb/mongo-server.js';
import { SHARED_FOLDER, sharedSocket, type SharedThing } from './ask-shared.js';
import { buildForTests } from './build-for-tests.js';
import { runRoot } from './run-root.js';

/** Options for servers of this run's own; progress goes to stderr. */
export function stackOptions(folder: string, signal: AbortSignal, env = process.env): StackOptions {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  return { folder, ephemeral: true, say, signal, env };
}

/**
 * Answers `GET /mongodb` with the URI of one server per run, and `GET /package` with the folder of one build of it,
 * each made when the first test asks.
 * @returns its end: the servers stop
 */
export async function offerShared(): Promise<() => Promise<void>> {
  const folder = join(runRoot(), SHARED_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ended = new AbortController();
  let mongodb: Promise<MongoServer> | undefined;
  let built: Promise<string> | undefined;
  const things: Record<SharedThing, () => Promise<string>> = {
    mongodb: async () => (await (mongodb ??= startMongodb(stackOptions(folder, ended.signal)))).uri,
    package: () => (built ??= buildForTests(join(folder, 'package'))),
  };
  const offer = createServer((request, response) => {
    things[request.url?.slice(1) as SharedThing]().then(
      (answer) => response.end(answer),
      (error: unknown) => response.writeHead(500).end(reasonOf(error)),
    );
  });
  offer.listen(sharedSocket());
  await once(offer, 'listening');
  return async () => {
    offer.close();
    offer.closeAllConnections();
    ended.abort();
    const server = await mongodb?.catch(() => undefined);
    await server?.close();
    await built?.catch(() => undefined);
  };
}
