import { expect, test } from 'vitest';
import { holderOf, holdingOf } from '../../src/store/holders.js';

const runId = '11111111-2222-4333-8444-555555555555';
const assignmentId = '99999999-8888-4777-8666-555555555555';

test.each([
  't',
  'ticket/123',
  `t/${runId}`,
  `t/${runId}/${assignmentId}`,
  '/',
  'a//b',
  '夜/🌙',
  'line separator',
])('the holder of task %j names that task', (taskId) => {
  expect(holdingOf(holderOf({ taskId, runId, assignmentId }))).toEqual({ taskId, runId, assignmentId });
});

test.each(['', 'python-process', `t/${runId}`, `/${runId}/${assignmentId}`, `t/${runId}/s`, 'verify-1/2/3'])(
  'the holder %j names no task of ours',
  (holder) => expect(holdingOf(holder)).toBeNull(),
);
