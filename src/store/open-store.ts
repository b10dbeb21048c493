import { MongoClient, MongoServerError } from 'mongodb';
import type { Document } from 'mongodb';
import { deadline } from '../async/within.js';
import { reasonOf, TaskError } from '../errors.js';
import { NO_KEYS } from '../codec/key-list.js';
import type { SeedKeys } from './cipher.js';
import { COMMAND_TIMEOUT_MS, MEANING, withoutFixedOptions } from './connection-options.js';
import { requiredKeys } from './encrypted-only.js';
import type { Store } from './mongo.js';

/**
 * Connects to MongoDB and waits until it answers. The database is the one that the URI names, else
 * `codex_task`. Durations in milliseconds. Reads go to the primary and are of what a majority has, writes are
 * acknowledged from the journals of a majority, whatever the URI says: `warnings` names what it said otherwise.
 * @throws TaskError `Unavailable` when nothing answers in time, `BadInput` for a malformed URI, a refused login or a
 * member of a replica set that may be no primary
 */
export async function openStore(options: {
  uri: string;
  prefix: string;
  /** Default: credentials are stored plain, and encrypted ones cannot be read. */
  seedKeys?: SeedKeys;
  connectTimeoutMs?: number;
  /** Commands are then events of the driver's client. */
  monitorCommands?: boolean;
}): Promise<Store> {
  const { uri, prefix, seedKeys = NO_KEYS, connectTimeoutMs = 5000, monitorCommands = false } = options;
  const { uri: plainUri, overruled } = withoutFixedOptions(uri);
  const client = createClient(plainUri, { connectTimeoutMs, monitorCommands });
  const close = () => client.close();
  const db = client.db(databaseNameOf(uri));
  const warnings = overruled.map((name) => `MONGODB_URI: ${name} has no effect, its value is fixed`);
  try {
    // The driver's own timeouts are for each of its steps, and none is for a command that is not answered.
    const hello = await deadline(
      connectTimeoutMs * 2,
      client.connect().then(() => db.command({ hello: 1 })),
    );
    requirePrimary(client, hello);
    const keys = await deadline(connectTimeoutMs, requiredKeys({ db, prefix }, seedKeys));
    return { client, db, prefix, seedKeys: keys, warnings, close };
  } catch (error) {
    await close().catch(() => undefined);
    if (error instanceof TaskError) throw error;
    throw connectFailure(error, addressOf(client), uri);
  }
}

const DEFAULT_DATABASE = 'codex_task';

/** Of one member that is connected to directly the driver reads whatever it is, and it may be the primary no longer. */
function requirePrimary(client: MongoClient, hello: Document): void {
  if (!client.options.directConnection || hello['setName'] === undefined) return;
  const members = [hello['hosts'], hello['passives']].flat().filter((each) => each !== undefined);
  if (members.length <= 1 && hello['isWritablePrimary'] !== false) return;
  throw new TaskError(
    'BadInput',
    'MONGODB_URI: directConnection=true reaches one member of a replica set, which may not be its primary: leave it out and name the set with replicaSet',
  );
}

function createClient(
  uri: string,
  { connectTimeoutMs, monitorCommands }: { connectTimeoutMs: number; monitorCommands: boolean },
): MongoClient {
  try {
    return new MongoClient(uri, {
      appName: 'codex-task-worker',
      ...MEANING,
      connectTimeoutMS: connectTimeoutMs,
      serverSelectionTimeoutMS: connectTimeoutMs,
      socketTimeoutMS: COMMAND_TIMEOUT_MS,
      waitQueueTimeoutMS: COMMAND_TIMEOUT_MS,
      monitorCommands,
    });
  } catch (error) {
    // The driver's own error may repeat the URI with its password, so it is no cause of ours.
    throw new TaskError(
      'BadInput',
      `MONGODB_URI: expected mongodb://host:port/database with percent-encoded parts${safeReason(error, uri)}`,
    );
  }
}

/** A URI without a database would give the driver's default, `test`. */
function databaseNameOf(uri: string): string {
  const name = /^mongodb(?:\+srv)?:\/\/[^/?]*\/([^?]*)/.exec(uri)?.[1];
  return name ? decoded(name) : DEFAULT_DATABASE;
}

function addressOf(client: MongoClient): string {
  const { srvHost, hosts } = client.options;
  if (srvHost) return srvHost;
  return hosts.map((host) => host.socketPath ?? `${host.host ?? '?'}:${host.port ?? '?'}`).join(', ');
}

const AUTHENTICATION_FAILED = 18;

function connectFailure(error: unknown, address: string, uri: string): TaskError {
  if (error instanceof MongoServerError && error.code === AUTHENTICATION_FAILED) {
    return new TaskError(
      'BadInput',
      `MongoDB at ${address} refused the login: check user, password and authSource in MONGODB_URI`,
    );
  }
  return new TaskError(
    'Unavailable',
    `MongoDB not reachable at ${address}: start it or set MONGODB_URI${safeReason(error, uri)}`,
  );
}

/** The driver's words in one line; none where they could hold a part of the login. */
function safeReason(error: unknown, uri: string): string {
  const [, login = '', rest = ''] = /^[^/]*:\/\/(?:([^/?#@]*)@)?(.*)$/s.exec(uri) ?? [];
  const reason = reasonOf(error).replaceAll(/\s+/g, ' ');
  const secrets = login.split(':').flatMap((part) => [part, decoded(part)]);
  // A further @ means a login that is not encoded, whose parts can be taken for anything.
  const unsafe = rest.includes('@') || secrets.some((secret) => secret !== '' && reason.includes(secret));
  return unsafe ? '' : ` (${reason})`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
