import { randomUUID } from 'node:crypto';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import * as contract from '../../src/contract/index.js';
import { NO_USAGE } from '../../src/contract/index.js';
import { askShared } from '../support/ask-shared.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runTaskOn, useTemporal, type Handle } from './run-task.js';
import { stubs, untilCancelled, withWorkers } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);

/** The workflow code of this build, but with another rule for `mode`. */
async function bundleWith(rule: string): Promise<{ code: string }> {
  const folder = await makeFolder();
  try {
    await buildPackage(folder.path, { nodeModules: false });
    await symlink(join(await askShared('package'), 'node_modules'), join(folder.path, 'node_modules'));
    const file = join(folder.path, 'lib/input/task-schema.js');
    const text = await readFile(file, 'utf8');
    const usual = "is.oneOf('task', 'conversation')";
    expect(text).toContain(usual);
    await writeFile(file, text.replace(usual, rule));
    const lib = (path: string) => join(folder.path, 'lib', path);
    return await bundleWorkflowCode({
      workflowsPath: lib('workflows/index.js'),
      workflowInterceptorModules: [lib('workflows/query-safety-interceptor.js')],
      payloadConverterPath: lib('codec/payload-converter.js'),
      failureConverterPath: lib('codec/workflow-failure-converter.js'),
      logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} },
    });
  } finally {
    await folder.remove();
  }
}

const historyOf = (handle: Handle) => handle.fetchHistory();

describe('an input', () => {
  it('is judged once: a replay keeps the verdict, whatever the rules are by then', async () => {
    const taken = await runTaskOn(temporal.environment, { mode: 'conversation' }, {});
    expect(taken.result?.outcome).toBe('completed');
    const refused = await runTaskOn(temporal.environment, { mode: 'chat' }, {});
    expect(refused.failure).toMatchObject({ type: 'BadInput' });
    const histories = [await historyOf(taken.handle), await historyOf(refused.handle)];
    for (const rule of ["is.oneOf('task')", 'is.anyString']) {
      const workflowBundle = await bundleWith(rule);
      for (const history of histories) await Worker.runReplayHistory({ workflowBundle }, history, 'judged');
    }
  });
});

describe('a second argument', () => {
  const past = {
    version: 1,
    from: 'somebody',
    startedAtMs: 0,
    phase: 'completed',
    status: { state: 'completed', taskId: 'x', turns: 7, usage: NO_USAGE, warnings: [], pending: [] },
  };

  it.each([[past], [7], ['text'], [[]]])('of a caller is not read as carried state: %j', async (given) => {
    const calls: string[] = [];
    const steps = asActivities(stubs(calls, { followSession: async () => untilCancelled() }));
    await withWorkers(temporal.environment, steps, async (taskQueue) => {
      const handle: Handle = await temporal.environment.client.workflow.start(contract.CODEX_TASK, {
        taskQueue,
        workflowId: `past-${randomUUID()}`,
        args: [{ mode: 'conversation' }, given],
        memo: { continueAfterEvents: 1 },
      });
      await until('a session', () => calls.includes('followSession'));
      expect(await handle.query(contract.stateQuery)).toMatchObject({
        turns: 0,
        taskId: handle.workflowId,
      });
      expect(calls.filter((name) => name === 'claimHost')).toHaveLength(1);
      await handle.terminate();
    });
  });
});
