import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../src/errors.js';
import type { StackOptions } from '../../src/dev/first-that-works.js';
import { startMongodb } from '../../src/dev/mongodb/choose-mongodb.js';
import type { MongoServer } from '../../src/dev/mongodb/mongo-server.js';
import { findTemporalCli } from '../../src/dev/temporal/choose-temporal.js';
import { runDevServer } from '../../src/dev/temporal/run-dev-server.js';
import type { TemporalServer } from '../../src/dev/temporal/temporal-server.js';
import { SHARED_FOLDER, sharedSocket, type SharedThing } from './ask-shared.js';
import { buildForTests } from './build-for-tests.js';
import { runRoot } from './run-root.js';

/** Options for servers of this run's own; progress goes to stderr. */
export function stackOptions(folder: string, signal: AbortSignal, env = process.env): StackOptions {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  return { folder, ephemeral: true, say, signal, env };
}

/** As many as test files that ask, and more. */
const NAMESPACES = Array.from({ length: 64 }, (_, i) => `test-${i}`) as [string, ...string[]];

/**
 * Answers `GET /mongodb` with the URI of one server per run, `GET /temporal` with address and namespace, a new one each
 * time, of another, and `GET /package` with the folder of one build of it, each made when the first test asks.
 * @returns its end: the servers stop
 */
export async function offerShared(): Promise<() => Promise<void>> {
  const folder = join(runRoot(), SHARED_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ended = new AbortController();
  let mongodb: Promise<MongoServer> | undefined;
  let temporal: Promise<TemporalServer> | undefined;
  let built: Promise<string> | undefined;
  const startTemporal = async () => {
    const options = stackOptions(folder, ended.signal);
    return runDevServer(await findTemporalCli(options), options, NAMESPACES);
  };
  const unused = [...NAMESPACES];
  const things: Record<SharedThing, () => Promise<string>> = {
    mongodb: async () => (await (mongodb ??= startMongodb(stackOptions(folder, ended.signal)))).uri,
    temporal: async () => {
      const { address } = await (temporal ??= startTemporal());
      const namespace = unused.shift();
      if (namespace === undefined) throw new Error(`More than ${NAMESPACES.length} namespaces are asked for`);
      return JSON.stringify({ address, namespace });
    },
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
    for (const server of [mongodb, temporal]) await (await server?.catch(() => undefined))?.close();
    await built?.catch(() => undefined);
  };
}
