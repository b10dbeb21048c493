import { describe, expect, test } from 'vitest';
import { elapse } from '../../support/elapse.js';
import type { Rpc } from '../../../src/codex/rpc.js';
import { assistantMessage, commandCall, functionCall } from '../../../src/dev/model-server.js';
import { openThread } from '../../../src/session/connect/open-thread.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { openAccount } from '../../../src/session/account/task-account.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { startRealSession } from '../real-session.js';
import { answers, calls } from '../scripts.js';

/** A codex whose threads are reviewed by this one, and what it was asked. */
function codexWith(approvalsReviewer: unknown) {
  const asked: { method: string; params: Record<string, unknown>; timeoutMs: number }[] = [];
  const rpc = {
    notify: () => undefined,
    call: (method: string, params: Record<string, unknown>, { timeoutMs }: { timeoutMs: number }) => {
      asked.push({ method, params, timeoutMs });
      if (method === 'model/list') return Promise.resolve({ data: [] });
      const thread = { id: 'T', status: { type: 'idle' }, turns: [] };
      const activePermissionProfile = { id: ':danger-full-access' };
      return Promise.resolve({
        thread,
        model: 'm',
        modelProvider: 'p',
        activePermissionProfile,
        approvalsReviewer,
      });
    },
  } as unknown as Rpc;
  return { rpc, asked };
}

const spec = parseTaskInput({ sandbox: { mode: 'danger-full-access' } }, 't');
const taskOn = (threadId: string | null) =>
  ({
    spec,
    folder: { work: '/w' },
    threadId,
    recalled: null,
    account: openAccount(null),
  }) as unknown as PreparedTask;

describe.each([
  ['thread/start', null],
  ['thread/resume', 'T'],
])('%s', (method, threadId) => {
  test('names the client as the reviewer of requests', async () => {
    const { rpc, asked } = codexWith('user');
    await openThread(rpc, taskOn(threadId), true);
    expect(asked.find((each) => each.method === method)?.params).toMatchObject({ approvalsReviewer: 'user' });
  });

  test('allows for the time that Codex takes to find skills on a busy machine', async () => {
    const { rpc, asked } = codexWith('user');
    await openThread(rpc, taskOn(threadId), true);
    expect(asked.find((each) => each.method === method)?.timeoutMs).toBeGreaterThan(45_000);
  });

  test.each(['auto_review', 'guardian_subagent', undefined])(
    'fails the session with %s as the reviewer',
    async (reviewer) => {
      const { rpc } = codexWith(reviewer);
      await expect(openThread(rpc, taskOn(threadId), true)).rejects.toMatchObject({ code: 'CodexFailed' });
    },
  );
});

test('a seed that has Codex review requests itself still asks the client, once', async () => {
  const escalated = commandCall('echo ran > file', { escalated: true, justification: 'because' });
  const seed = 'approvals_reviewer = "auto_review"\n[features]\nguardian_approval = true\n';
  const session = await startRealSession(calls(escalated), {}, {}, seed);
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  const { requestId } = await session.asked();
  await session.thread.permissions.decide({ requestId, behavior: 'deny' });
  await session.turns(1);
  expect(session.signals.filter(({ name }) => name === 'permissionRequested')).toHaveLength(1);
  // Nor does codex warn of what the worker sets.
  expect(JSON.stringify(session.events)).not.toContain('Under-development');
  expect(session.events.filter(({ method }) => /autoApprovalReview|guardian/.test(method ?? ''))).toEqual([]);
});

test('Codex offers no goals, whatever a seed sets, and starts no turn by itself', async () => {
  const goal = functionCall('create_goal', { objective: 'make three files' });
  const words = ['one', 'two', 'three'].map((word) => [assistantMessage(word)]);
  const seed = '[features]\ngoals = true\n';
  const session = await startRealSession(answers([goal], ...words), { mode: 'task' }, {}, seed);
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  await session.thread.turns.whenEnded();
  expect(JSON.stringify(session.model.requests[0]?.body)).not.toMatch(/(create|get|update)_goal/);
  const atTheEnd = session.model.requests.length;
  // With a goal codex begins the next turn within 30 ms.
  await elapse(300);
  expect(session.model.requests).toHaveLength(atTheEnd);
});
