import { findOnPath } from '../find-on-path.js';
import type { MongoWay } from './mongo-server.js';
import { runMongod, versionOfMongod } from './run-mongod.js';

/** The `mongod` on PATH. */
export const fromPath: MongoWay = async (options) => {
  const path = await findOnPath('mongod', options.env);
  if (path === null) return { because: 'no mongod on PATH' };
  const version = await versionOfMongod(path, options);
  if (typeof version !== 'string') return version;
  return { what: `${path} ${version}`, start: () => runMongod(path, options) };
};
