import type { StackOptions } from './first-that-works.js';
import { startMongodb } from './mongodb/choose-mongodb.js';
import type { MongoServer } from './mongodb/mongo-server.js';
import { startTemporal } from './temporal/choose-temporal.js';
import type { TemporalServer } from './temporal/temporal-server.js';

export type { StackOptions } from './first-that-works.js';

/** Temporal and MongoDB, both answering. */
export interface Stack {
  temporal: { address: string; namespace: string; uiUrl: string | null };
  mongodbUri: string;
  /** What a worker or a client of this stack needs on top of its environment. */
  env: { TEMPORAL_ADDRESS: string; TEMPORAL_NAMESPACE: string; MONGODB_URI: string };
  /** Settles when a server that was started for it ends, with which one and how. */
  ended: Promise<string>;
  /** Ends what was started for it, within 4 s; a server that the environment named is left alone. */
  close: () => Promise<void>;
}

/** How the two parts are obtained; tests pass another one. */
export interface StackParts {
  startTemporal: (options: StackOptions) => Promise<TemporalServer>;
  startMongodb: (options: StackOptions) => Promise<MongoServer>;
}

/**
 * Starts Temporal and MongoDB at the same time, each in the first way that works here.
 * @throws TaskError `Unavailable` when one of them cannot be had; the other one is stopped then
 */
export async function startStack(
  options: StackOptions,
  parts: StackParts = { startTemporal, startMongodb },
): Promise<Stack> {
  const failed = new AbortController();
  const together = { ...options, signal: AbortSignal.any([options.signal, failed.signal]) };
  const giveUp = (error: unknown): never => {
    failed.abort(error);
    throw error;
  };
  const [temporal, mongodb] = await Promise.allSettled([
    parts.startTemporal(together).catch(giveUp),
    parts.startMongodb(together).catch(giveUp),
  ]);
  if (temporal.status === 'fulfilled' && mongodb.status === 'fulfilled') {
    return stackOf(temporal.value, mongodb.value);
  }
  for (const part of [temporal, mongodb]) if (part.status === 'fulfilled') await part.value.close();
  throw options.signal.aborted ? options.signal.reason : failed.signal.reason;
}

function stackOf(temporal: TemporalServer, mongodb: MongoServer): Stack {
  const { address, namespace, uiUrl } = temporal;
  return {
    temporal: { address, namespace, uiUrl },
    mongodbUri: mongodb.uri,
    env: { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace, MONGODB_URI: mongodb.uri },
    ended: Promise.race([
      temporal.ended.then((how) => `Temporal ended: ${how}`),
      mongodb.ended.then((how) => `MongoDB ended: ${how}`),
    ]),
    close: async () => {
      await Promise.all([temporal.close(), mongodb.close()]);
    },
  };
}
