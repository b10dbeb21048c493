import { IllegalStateError } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { quickWorkflows } from './quick-workflows.js';

/**
 * Only what is wrong is said. The runtime lasts until nothing in the process uses it any more, which test files share:
 * the one of an earlier file may be there still.
 */
export function quietRuntime(): void {
  quickWorkflows();
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR'),
      telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
    });
  } catch (error) {
    if (!(error instanceof IllegalStateError)) throw error;
  }
}
