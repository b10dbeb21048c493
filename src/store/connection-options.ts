import type { MongoClientOptions } from 'mongodb';

/** Longest silence of the server within one command, and longest wait for a free connection. */
export const COMMAND_TIMEOUT_MS = 30_000;

/** What a read and a write of this package mean, whatever the URI says: both are facts that no failover takes back. */
export const MEANING = {
  readPreference: 'primary',
  readConcern: { level: 'majority' },
  // `journal`: a server alone acknowledges a majority from memory.
  writeConcern: { w: 'majority', journal: true },
  retryReads: true,
  retryWrites: true,
} as const satisfies MongoClientOptions;

/**
 * Options of a URI that would change what is read, written or understood, in lower case, with the value that says the
 * same as the code does; null: no value does.
 */
export const FIXED_OPTIONS: Readonly<Record<string, string | null>> = {
  readpreference: 'primary',
  readpreferencetags: null,
  maxstalenessseconds: null,
  readconcern: 'majority',
  readconcernlevel: 'majority',
  w: 'majority',
  j: 'true',
  journal: 'true',
  fsync: null,
  wtimeout: null,
  wtimeoutms: null,
  writeconcern: null,
  retryreads: 'true',
  retrywrites: 'true',
  timeoutms: null,
  sockettimeoutms: null,
  waitqueuetimeoutms: null,
  serverapi: null,
  autoencryption: null,
  bsonregexp: null,
  checkkeys: null,
  enableutf8validation: null,
  fieldsasraw: null,
  forceserverobjectid: null,
  ignoreundefined: null,
  pkfactory: null,
  promotebuffers: null,
  promotelongs: null,
  promotevalues: null,
  raw: null,
  serializefunctions: null,
  usebigint64: null,
};

/**
 * Takes the options out of a URI that the code fixes. `overruled`: the names of those that said otherwise, as they were
 * written.
 */
export function withoutFixedOptions(uri: string): { uri: string; overruled: string[] } {
  const [, head, query] = /^(mongodb(?:\+srv)?:\/\/[^/?]*(?:\/[^?]*)?)\?(.*)$/s.exec(uri) ?? [];
  if (head === undefined || query === undefined) return { uri, overruled: [] };
  const overruled = new Set<string>();
  const kept = query.split('&').filter((part) => {
    const [name = '', value = ''] = part.split('=');
    const same = FIXED_OPTIONS[name.toLowerCase()];
    if (same === undefined) return true;
    if (value.toLowerCase() !== same) overruled.add(name);
    return false;
  });
  return { uri: kept.length > 0 ? `${head}?${kept.join('&')}` : head, overruled: [...overruled] };
}
