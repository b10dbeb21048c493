import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { askAgain } from '../../src/client/index.js';
import { clientConverter, workerConverter } from '../../src/codec/data-converter.js';
import { payloadKeysFrom } from '../../src/codec/payload-keys.js';
import { withEncodedFailures } from '../../src/codec/workflow-code.js';
import { askShared } from '../support/ask-shared.js';
import { workflowBundle } from '../support/built-package.js';
import type { Handle } from './run-task.js';
import type { WorkersOptions } from './stub-host.js';

/** `id:key`, the key made of `fill`. */
export const key = (id: string, fill = id): string =>
  `${id}:${createHash('sha256').update(fill).digest('base64')}`;

/** A client of somebody who has these keys. */
export const clientWith = ({ connection, namespace }: TestWorkflowEnvironment, keys: string): Client =>
  new Client({
    connection,
    namespace: namespace ?? 'default',
    dataConverter: clientConverter(payloadKeysFrom(keys)),
    interceptors: { workflow: [askAgain] },
  });

/** Replays what a workflow did, as a worker does that has these keys. @throws Error where it cannot */
export async function replayWith(keys: string, handle: Handle): Promise<void> {
  const { workflowBundle, dataConverter } = (await workersWith(keys)).workflows!;
  const options = { workflowBundle: workflowBundle!, dataConverter: dataConverter! };
  await Worker.runReplayHistory(options, await handle.fetchHistory(), 'replayed');
}

/** Workers that have these keys, as `host-workers.ts` makes them. */
export async function workersWith(text: string): Promise<WorkersOptions> {
  const keys = payloadKeysFrom(text);
  const { codePath } = await workflowBundle();
  // The SDK loads it by its path, which has to be that of JavaScript.
  const failureConverterPath = join(await askShared('package'), 'lib/codec/failure-converter.js');
  const built = ({ payloadCodecs }: DataConverter): DataConverter => ({
    ...(payloadCodecs && { payloadCodecs }),
    ...(keys.writes && { failureConverterPath }),
  });
  return {
    workflows: {
      workflowBundle: keys.writes
        ? { code: withEncodedFailures(await readFile(codePath, 'utf8')) }
        : { codePath },
      dataConverter: built(workerConverter(keys, 'pass')),
    },
    steps: { dataConverter: built(workerConverter(keys, 'refuse')) },
  };
}
