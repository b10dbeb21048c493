import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { expect, it } from 'vitest';
import { quietRuntime } from '../support/quiet-runtime.js';
import { ENCRYPTED, savedHistories } from './histories.js';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const silent = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

type Histories = Awaited<ReturnType<typeof savedHistories>>;

/** Those whose workflow tasks were all answered, once each. */
const isWhole = ({ history }: Histories[number]) =>
  history.events?.every(
    (event) => !event.workflowTaskTimedOutEventAttributes && !event.workflowTaskFailedEventAttributes,
  );

it('explains the growth of each saved history by jobs and commands', async () => {
  quietRuntime();
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: here('../../src/workflows/index.ts'),
    workflowInterceptorModules: [here('./count-events.ts')],
    payloadConverterPath: here('../../src/codec/payload-converter.ts'),
    failureConverterPath: here('../../src/codec/workflow-failure-converter.ts'),
    logger: silent,
  });
  const options = { workflowBundle, debugMode: true };
  const histories = (await savedHistories()).filter((each) => each.name !== ENCRYPTED && isWhole(each));
  expect(histories.length).toBeGreaterThan(100);
  const named = histories.map(({ name, history }) => ({ workflowId: name, history }));
  const unexplained: string[] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories(options, named))
    if (error) unexplained.push(`${workflowId}: ${/Grown [^;]*/.exec(error.message)?.[0] ?? error.message}`);
  expect(unexplained).toEqual([]);
}, 120_000);
