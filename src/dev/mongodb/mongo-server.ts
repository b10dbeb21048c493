import type { Way } from '../first-that-works.js';

/** A MongoDB server that answers; `uri` names the database. `close` ends it if it is ours; `ended` settles when ours ends. */
export interface MongoServer {
  uri: string;
  ended: Promise<string>;
  close: () => Promise<void>;
}

export type MongoWay = Way<MongoServer>;

export const DEFAULT_DATABASE = 'codex_task';
