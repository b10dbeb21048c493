import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker, type WorkerOptions, type WorkflowBundle } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from 'vitest';
import { askAgain } from '../../src/client/index.js';
import { codexTaskPlugin } from '../../src/worker/index.js';
import { SLOTS_OF } from '../../src/activities/slots-of.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { ENCRYPTED, savedHistories } from '../workflows/histories.js';

const workflowsPath = fileURLToPath(new URL('callers/workflows.ts', import.meta.url));
const env = { HOME: '/home/nobody' };
const plugin = codexTaskPlugin({ env });
const payloadKey = `k1:${Buffer.alloc(32, 1).toString('base64')}`;
const dataConverter = { payloadCodecs: [] };
const options: WorkerOptions = { taskQueue: 'callers', workflowsPath };

let bundle: WorkflowBundle;
let plain: WorkflowBundle;
beforeAll(async () => {
  quietRuntime();
  [bundle, plain] = await Promise.all([
    bundleWorkflowCode({ workflowsPath, plugins: [plugin, plugin] }),
    bundleWorkflowCode({ workflowsPath }),
  ]);
});

describe('the bundle of a caller with the plugin', () => {
  it('replays the saved histories of tasks', async () => {
    const histories = (await savedHistories()).filter(({ name }) => name !== ENCRYPTED);
    const named = histories.map(({ name, history }) => ({ workflowId: name, history }));
    const failed: string[] = [];
    const replay = { workflowBundle: bundle, debugMode: true, plugins: [plugin] };
    for await (const { workflowId, error } of Worker.runReplayHistories(replay, named))
      if (error) failed.push(`${workflowId}: ${error.message}`);
    expect(failed).toEqual([]);
    expect(named.length).toBeGreaterThan(100);
  });

  it('is asked for where the caller bundles apart', async () => {
    await expect(plugin.configureWorker!({ ...options, workflowBundle: bundle })).resolves.toMatchObject({
      workflowBundle: bundle,
    });
    await expect(plugin.configureWorker!({ ...options, workflowBundle: plain })).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('give codexTaskPlugin to bundleWorkflowCode too') as string,
    });
  });
});

describe('the plugin of a worker', () => {
  it('adds the steps of the shared queue, and leaves the caller’s own activities', async () => {
    const noteEnd = async () => undefined;
    const { activities, taskQueue } = await plugin.configureWorker!({ ...options, activities: { noteEnd } });
    const shared = Object.entries(SLOTS_OF).flatMap(([name, { queue }]) => (queue === 'shared' ? name : []));
    expect(Object.keys(activities!).sort()).toEqual(['noteEnd', ...shared].sort());
    expect(taskQueue).toBe('callers');
    const again = await plugin.configureWorker!({ ...options, activities: activities! });
    expect(again.activities).toEqual(activities);
    const releaseLease = async () => undefined;
    await expect(plugin.configureWorker!({ ...options, activities: { releaseLease } })).rejects.toThrow(
      'Activities of this name are codex-task-worker',
    );
  });

  it('leaves a worker its own data converter, or gives it one that encrypts', async () => {
    expect((await plugin.configureWorker!({ ...options, dataConverter })).dataConverter).toBe(dataConverter);
    const given = codexTaskPlugin({ env, dataConverter });
    expect((await given.configureWorker!(options)).dataConverter).toBe(dataConverter);
    const encrypting = codexTaskPlugin({ env, payloadKey });
    const { dataConverter: made } = await encrypting.configureWorker!(options);
    expect(made?.payloadCodecs).toHaveLength(1);
    expect(made?.failureConverterPath).toContain('failure-converter');
    await expect(encrypting.configureWorker!({ ...options, dataConverter })).rejects.toThrow(
      'Payloads are encoded by CODEX_TASK_PAYLOAD_KEY or by a data converter of your own, not by both',
    );
  });
});

describe('the plugin of a client', () => {
  it('gives it the data converter, and repeats queries that come too early', () => {
    const mine = { query: async () => undefined };
    const configured = plugin.configureClient!({ dataConverter, interceptors: { workflow: [mine] } });
    expect(configured).toMatchObject({ dataConverter, interceptors: { workflow: [mine, askAgain] } });
    expect(plugin.configureClient!(configured)).toEqual(configured);
    expect(
      codexTaskPlugin({ env, payloadKey }).configureClient!({}).dataConverter?.payloadCodecs,
    ).toHaveLength(1);
  });
});
