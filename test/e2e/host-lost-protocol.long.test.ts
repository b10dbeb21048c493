import { NativeConnection } from '@temporalio/worker';
import { expect, it, onTestFinished } from 'vitest';
import { assistantMessage, commandCall, lastUserText, outputsOfTurn } from '../../src/dev/model-server.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { until } from '../support/until.js';
import { hookWorkerOn } from './hook-worker.js';
import { checkpointed, host, runsOn, stack, startTask } from './lost-hosts.js';
import { wholeStream } from './real-tasks.js';

const ANSWER = 'System: deliverable report.md: the title is missing';

it('a task of a lost host acts once on each agent line and on its hook’s answer', async () => {
  quietRuntime();
  const { address, namespace } = stack.line.temporal;
  const connection = await NativeConnection.connect({ address });
  onTestFinished(() => connection.close());
  let isOver = () => {};
  const over = new Promise<void>((resolve) => (isOver = resolve));
  let reviews = 0;
  const caller = hookWorkerOn(namespace, connection, {
    // The first review is under way when the host is lost, and ends when nobody waits for it any more.
    onDeliverable: async () => {
      if (++reviews === 1) await over;
      return 'the title is missing';
    },
    onCallerMessage: async () => null,
  });
  await caller.start();
  onTestFinished(() => isOver());
  stack.play((request) => {
    const isNew = outputsOfTurn(request).length === 0;
    const text = lastUserText(request);
    if (text === 'write a report' && isNew)
      return [
        commandCall(
          `echo draft > deliverables/report.md; printf 'STATUS: 50%% half\\nDELIVERABLE: deliverables/report.md\\nCALLER_MESSAGE: colour 1\\n' >> optio.log`,
        ),
      ];
    if (text === ANSWER && isNew) return [commandCall('echo "DONE: all of it" >> optio.log')];
    return [assistantMessage(`heard ${text}`)];
  });
  const first = await host();
  const { task } = await startTask({ prompt: 'write a report', hostProtocol: true, hooks: caller.hooks });
  const stream = wholeStream(task);
  await until('a review under way', () => reviews === 1);
  await until('the message to the caller', () => caller.named('onCallerMessage').length === 1);
  const other = await host();
  // Lines that were acted on behind the last checkpoint are acted on again.
  await task.sendMessage('go on');
  await until('the second turn', async () => (await task.status().catch(() => null))?.turns === 2);
  await checkpointed(task, 2);
  await first.burnDown();
  await runsOn(task, other);

  const result = await task.result();
  expect(result).toMatchObject({ outcome: 'completed', turns: 3, finalMessage: `heard ${ANSWER}` });
  expect(result.deliverables).toMatchObject([{ path: 'deliverables/report.md', bytes: 6 }]);
  expect(await task.status()).toMatchObject({ host: other.hostId });
  const { events } = await stream;
  const ofType = (type: string) => events.filter((event) => event['type'] === type);
  expect(ofType('x-optio-gap')).toHaveLength(1);
  expect(ofType('x-optio-status')).toMatchObject([{ line: 1, percent: 50 }]);
  expect(ofType('x-optio-deliverable')).toMatchObject([{ line: 2, path: 'deliverables/report.md' }]);
  expect(ofType('x-optio-caller-message')).toMatchObject([{ line: 3, keyword: 'colour' }]);
  expect(ofType('x-optio-done')).toMatchObject([{ line: 4, text: 'all of it' }]);
  // What was open was asked again, with the same words; what had its answer was not.
  const [review, again, ...more] = caller.named('onDeliverable');
  expect(again).toEqual(review);
  expect(more).toEqual([]);
  expect(caller.named('onCallerMessage')).toHaveLength(1);
  expect(
    stack.model.requests.filter(
      (request) => lastUserText(request) === ANSWER && outputsOfTurn(request).length === 0,
    ),
  ).toHaveLength(1);
});
