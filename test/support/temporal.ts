import { TestWorkflowEnvironment } from '@temporalio/testing';
import { findTemporalCli } from '../../src/dev/temporal/choose-temporal.js';
import { runDevServer } from '../../src/dev/temporal/run-dev-server.js';
import { timeSkippingServer } from '../../src/dev/temporal/time-skipping.js';
import { makeFolder } from './folders.js';
import { stackOptions } from './shared-servers.js';

export interface TestTemporal {
  environment: TestWorkflowEnvironment;
  /** Closes the connections, ends the server. */
  close: () => Promise<void>;
}

/**
 * A server of its own that skips time while a workflow's result is awaited. Only for workflows that cancel no step
 * which may be ending just then: it (1.40.0) refuses that whole workflow task, and the workflow is stuck for good.
 */
export async function startTimeSkipping(): Promise<TestTemporal> {
  const path = await timeSkippingServer(stackOptions('', NEVER));
  const environment = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
  });
  return { environment, close: () => environment.teardown() };
}

/** A full dev server of its own, with the search attributes; it skips no time. */
export async function connectLocal(): Promise<TestTemporal> {
  const folder = await makeFolder();
  const options = stackOptions(folder.path, NEVER);
  const server = await runDevServer(await findTemporalCli(options), options);
  const { address, namespace } = server;
  const environment = await TestWorkflowEnvironment.createFromExistingServer({ address, namespace });
  return {
    environment,
    close: async () => {
      await environment.teardown();
      await server.close();
      await folder.remove();
    },
  };
}

// vitest's own time limits end a start that hangs.
const NEVER = new AbortController().signal;
