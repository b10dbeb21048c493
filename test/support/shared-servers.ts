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

/** Of Go: memory is collected more rarely, and stacks begin as large as most become. A tenth of the server's work. */
const LESS_UPKEEP = { GOGC: '400', GODEBUG: 'adaptivestackstart=1' };
const optionsIn = (folder: string, signal: AbortSignal): StackOptions =>
  stackOptions(folder, signal, { ...process.env, ...LESS_UPKEEP });

/** As many as test files that ask, and more. */
const NAMESPACES = Array.from({ length: 64 }, (_, i) => `test-${i}`) as [string, ...string[]];
/** Events of history at which the server with short runs advises to continue: so many has a task that just began. */
const SHORT_RUN = 60;

/**
 * Answers `GET /mongodb` with the URI of one server per run, `GET /temporal` with address and namespace, a new one each
 * time, of another, `GET /temporal-short-runs` with the same of one that soon advises workflows to continue as new,
 * and `GET /package` with the folder of one build of it, each made when the first test asks.
 * @returns its end: the servers stop
 */
export async function offerShared(): Promise<() => Promise<void>> {
  const folder = join(runRoot(), SHARED_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ended = new AbortController();
  let mongodb: Promise<MongoServer> | undefined;
  let built: Promise<string> | undefined;
  const temporal = sharedTemporal(folder, ended.signal);
  const shortRuns = sharedTemporal(join(folder, 'short-runs'), ended.signal, {
    'limit.historyCount.suggestContinueAsNew': SHORT_RUN,
  });
  const things: Record<SharedThing, () => Promise<string>> = {
    mongodb: async () => (await (mongodb ??= startMongodb(optionsIn(folder, ended.signal)))).uri,
    temporal: temporal.ask,
    'temporal-short-runs': shortRuns.ask,
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
    await Promise.all([temporal.close(), shortRuns.close()]);
    await (await mongodb?.catch(() => undefined))?.close();
    await built?.catch(() => undefined);
  };
}

/** A dev server that is started when it is first asked for; each answer names another namespace of it. */
function sharedTemporal(folder: string, signal: AbortSignal, dynamicConfig: Record<string, number> = {}) {
  let server: Promise<TemporalServer> | undefined;
  const unused = [...NAMESPACES];
  const start = async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const options = optionsIn(folder, signal);
    return runDevServer(await findTemporalCli(options), options, NAMESPACES, dynamicConfig);
  };
  return {
    ask: async (): Promise<string> => {
      const { address } = await (server ??= start());
      const namespace = unused.shift();
      if (namespace === undefined) throw new Error(`More than ${NAMESPACES.length} namespaces are asked for`);
      return JSON.stringify({ address, namespace });
    },
    close: async (): Promise<void> => (await server?.catch(() => undefined))?.close(),
  };
}
