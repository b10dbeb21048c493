import assert from 'node:assert/strict';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { createTaskClient } from 'codex-task-worker';
import { scriptedCodex, startScriptedWorker } from 'codex-task-worker/testing';

const path = process.env.TEMPORAL_TEST_SERVER; // without it the SDK downloads one
const environment = await TestWorkflowEnvironment.createTimeSkipping(
  path ? { server: { executable: { type: 'existing-path', path } } } : {},
);
const script = scriptedCodex()
  .message('An old branch is in the way')
  .asks({ kind: 'command', command: 'git branch -D old' })
  .onAllow('deleted it')
  .onDeny((codex) => codex.ends('nothing merged'))
  .parks(5 * 3_600_000) // milliseconds
  .ends('merged');
const worker = await startScriptedWorker(environment, script);
try {
  const tasks = createTaskClient({ client: environment.client });
  const task = await tasks.start('merge-1', { prompt: 'Merge the release' });
  const { requestId, summary } = await worker.whenAsked('merge-1');
  assert.match(summary, /git branch -D old/);
  await task.decide({ requestId, behavior: 'allow', decidedBy: 'ann' });
  const { outcome, finalMessage } = await task.result();
  assert.deepEqual([outcome, finalMessage], ['completed', 'merged']);
  assert.deepEqual(worker.heard('merge-1').decisions, [{ requestId, behavior: 'allow', decidedBy: 'ann' }]);
  console.log('approved, parked for five hours, merged');
} finally {
  await worker.close();
  await environment.teardown();
}
