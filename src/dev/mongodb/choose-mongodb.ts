import { firstThatWorks, type Found, type StackOptions } from '../first-that-works.js';
import { ferretdb } from './ferretdb.js';
import { fromEnvironment } from './from-environment.js';
import { fromPath } from './from-path.js';
import { memoryServer } from './memory-server.js';
import type { MongoServer, MongoWay } from './mongo-server.js';

const ways: readonly MongoWay[] = [fromEnvironment, fromPath, memoryServer, ferretdb];

/** Downloads or builds what the first way that works needs. @throws TaskError `Unavailable` when none does */
export const findMongodb = (options: StackOptions): Promise<Found<MongoServer>> =>
  firstThatWorks('mongodb', 'MONGODB_URI', ways, options);

/** Starts the MongoDB server of the first way that works. @throws TaskError `Unavailable` */
export const startMongodb = async (options: StackOptions): Promise<MongoServer> =>
  (await findMongodb(options)).start();
