import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { sendMessageSignal, stateQuery } from '../../src/contract/index.js';
import { TaskError } from '../../src/errors.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runLongTask } from './long-task.js';
import { useTemporal } from './run-task.js';

const temporal = useTemporal(connectShortRuns);

/** So many tries fail that the pause after them is seconds long. */
const REFUSED = 4;

it('makes a new assignment after a task continued as new between two claims', async () => {
  const prepared: string[] = [];
  const { result, runs } = await runLongTask(
    temporal.environment,
    {
      input: { prompt: 'x' },
      steps: () => ({
        prepareWorkdir: async ({ ref }) => {
          prepared.push(ref.assignmentId);
          if (prepared.length <= REFUSED) throw new TaskError('LeaseRefused', 'another has it');
        },
      }),
    },
    async ({ handle, calls }) => {
      await until('the last refusal', () => prepared.length === REFUSED && calls.at(-1) === 'closeTask');
      // Its history grows in the pause.
      while (prepared.length === REFUSED) {
        await handle.signal(sendMessageSignal, { messageId: randomUUID(), text: 'hi' });
        await handle.query(stateQuery);
      }
    },
  );
  expect(result?.outcome).toBe('completed');
  expect(runs.length).toBeGreaterThan(1);
  expect(new Set(prepared).size).toBe(prepared.length);
});
