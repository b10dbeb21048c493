import { Worker, type WorkflowBundleOption } from '@temporalio/worker';
import { beforeAll, expect, it } from 'vitest';
import { workflowBundle } from '../support/built-package.js';
import { quietRuntime } from './stub-host.js';
import { savedHistories } from './histories.js';

// Recorded with SAVE_HISTORIES=1; a change of the workflow that these cannot follow would break running tasks.
const histories = await savedHistories();
let bundle: WorkflowBundleOption;

beforeAll(async () => {
  quietRuntime();
  bundle = await workflowBundle();
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
  await Worker.runReplayHistory({ workflowBundle: bundle }, history);
});
