import { expect, it } from 'vitest';
import { assistantMessage, lastUserText, requestsFor } from '../../src/dev/model-server.js';
import { findAssignment } from '../../src/store/assignments.js';
import { until } from '../support/until.js';
import { saveHistory } from '../workflows/histories.js';
import { checkpointed, expiryOf, host, runsOn, stack, startTask } from './lost-hosts.js';

it('a task reset after its host died continues on another, one assignment at a time', async () => {
  const first = await host();
  stack.play((request) => [assistantMessage(`answer to ${lastUserText(request)}`)]);
  const { task } = await startTask({ prompt: 'before' });
  await checkpointed(task, 1);
  const assignment = await findAssignment(stack.store, task.taskId);
  const { threadId } = await task.status();
  await first.burnDown();
  const expiresAt = await expiryOf(first);
  const other = await host();

  const { client } = stack.temporal;
  const { events } = await client.workflow.getHandle(task.taskId).fetchHistory();
  const begun = events!.find((event) => event.workflowTaskCompletedEventAttributes);
  await client.workflowService.resetWorkflowExecution({
    namespace: stack.line.temporal.namespace,
    workflowExecution: { workflowId: task.taskId },
    reason: 'test',
    workflowTaskFinishEventId: begun!.eventId!,
    requestId: 'reset',
  });
  // Not before the lost host's right has run out.
  expect(await runsOn(task, other)).toBeGreaterThan(expiresAt);
  expect((await findAssignment(stack.store, task.taskId))?.assignmentId).not.toBe(assignment?.assignmentId);
  await task.sendMessage('after');
  await until('the answer', async () => (await task.status().catch(() => null))?.turns === 2, 60_000);
  expect(await task.status()).toMatchObject({ host: other.hostId, threadId });
  await task.close();
  expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2, finalMessage: 'answer to after' });
  expect(requestsFor(stack.model.requests, 'before')).toHaveLength(1);
  expect(await findAssignment(stack.store, task.taskId)).toBeNull();
  await saveHistory(stack.temporal.client, task.taskId, 'real-reset-after-host-lost');
}, 300_000);
