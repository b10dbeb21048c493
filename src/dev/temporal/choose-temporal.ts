import { firstThatWorks, type StackOptions } from '../first-that-works.js';
import { fromEnvironment } from './from-environment.js';
import { fromPath } from './from-path.js';
import { pythonWheel } from './python-wheel.js';
import { sdkDownload } from './sdk-download.js';
import type { TemporalCliWay, TemporalServer, TemporalWay } from './temporal-server.js';

const cliWays: readonly TemporalCliWay[] = [fromPath, sdkDownload, pythonWheel];
const ways: readonly TemporalWay[] = [fromEnvironment, ...cliWays];

/** Starts the Temporal server of the first way that works. @throws TaskError `Unavailable` */
export const startTemporal = async (options: StackOptions): Promise<TemporalServer> =>
  (await firstThatWorks('temporal', 'TEMPORAL_ADDRESS', ways, options)).start();

/** Path of a Temporal CLI, fetched if need be. @throws TaskError `Unavailable` when none can be used */
export const findTemporalCli = async (options: StackOptions): Promise<string> =>
  (await firstThatWorks('temporal', 'TEMPORAL_ADDRESS', cliWays, options)).executable;
