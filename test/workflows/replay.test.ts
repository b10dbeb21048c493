import { Worker } from '@temporalio/worker';
import { beforeAll, expect, it } from 'vitest';
import { quietRuntime } from '../support/quiet-runtime.js';
import { workflowBundle } from '../support/built-package.js';
import { savedHistories } from './histories.js';

// Recorded with SAVE_HISTORIES=1; a change of the workflow that these cannot follow would break running tasks.
const histories = await savedHistories();
/** What the replay of each failed with. */
const failures = new Map<string, Error | undefined>();

beforeAll(async () => {
  quietRuntime();
  // One worker for all, and no thread for each.
  const options = { workflowBundle: await workflowBundle(), debugMode: true };
  const asked = histories.map(({ name, history }) => ({ workflowId: name, history }));
  for await (const { workflowId, error } of Worker.runReplayHistories(options, asked))
    failures.set(workflowId, error);
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

it.each(histories)('replays $name', ({ name }) => {
  expect(failures.has(name)).toBe(true);
  expect(failures.get(name)).toBeUndefined();
});
