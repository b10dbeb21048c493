import { fileURLToPath } from 'node:url';
import {
  bundleWorkflowCode,
  DefaultLogger,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import { beforeAll, expect, it } from 'vitest';
import { quietRuntime } from './stub-host.js';
import { savedHistories } from './histories.js';

// Recorded with SAVE_HISTORIES=1; a change of the workflow that these cannot follow would break running tasks.
const histories = await savedHistories();
let workflowBundle: WorkflowBundleWithSourceMap;

beforeAll(async () => {
  quietRuntime();
  workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../src/workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
});

it('has a history of every path', () => {
  const names = histories.map(({ name }) => name);
  for (const path of [
    'permission-by-http',
    'conversation-closed',
    'cancelled',
    'lease-lost',
    'no-credential',
    'resumed',
  ])
    expect(names).toContain(`real-${path}`);
  expect(histories.length).toBeGreaterThan(20);
});

it.each(histories)('replays $name', async ({ history }) => {
  await Worker.runReplayHistory({ workflowBundle }, history);
});
