import { TestWorkflowEnvironment } from '@temporalio/testing';
import { askAgain } from '../../src/client/index.js';
import { timeSkippingServer } from '../../src/dev/temporal/time-skipping.js';
import { askShared } from './ask-shared.js';
import { stackOptions } from './shared-servers.js';

export interface TestTemporal {
  environment: TestWorkflowEnvironment;
  /** Closes the connections, ends the server. */
  close: () => Promise<void>;
}

/** Its queries may come between two workflow tasks, as anybody's. */
const CLIENT = { interceptors: { workflow: [askAgain] } };

/**
 * A server of its own that skips time while a workflow's result is awaited. Only for workflows that cancel no step
 * which may be ending just then: it (1.40.0) refuses that whole workflow task, and the workflow is stuck for good.
 */
export async function startTimeSkipping(): Promise<TestTemporal> {
  const path = await timeSkippingServer(stackOptions('', NEVER));
  const environment = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
    client: CLIENT,
  });
  return { environment, close: () => environment.teardown() };
}

/** A namespace of its own, with the search attributes, on the run's dev server; it skips no time. */
export async function connectLocal(): Promise<TestTemporal> {
  const environment = await TestWorkflowEnvironment.createFromExistingServer({
    ...(await sharedNamespace()),
    client: CLIENT,
  });
  return { environment, close: () => environment.teardown() };
}

/** The same on a server that advises a workflow to continue as new whenever its history has 60 events. */
export async function connectShortRuns(): Promise<TestTemporal> {
  const environment = await TestWorkflowEnvironment.createFromExistingServer({
    ...(await shortRunsNamespace()),
    client: CLIENT,
  });
  return { environment, close: () => environment.teardown() };
}

/** Where a namespace is. */
export interface Placement {
  address: string;
  namespace: string;
}

export const sharedNamespace = async (): Promise<Placement> =>
  JSON.parse(await askShared('temporal')) as Placement;
export const shortRunsNamespace = async (): Promise<Placement> =>
  JSON.parse(await askShared('temporal-short-runs')) as Placement;

// vitest's own time limits end a start that hangs.
const NEVER = new AbortController().signal;
