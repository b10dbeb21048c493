import { ApplicationFailure, condition, setHandler, workflowInfo } from '@temporalio/workflow';
import {
  closeSignal,
  decidePermissionUpdate,
  NO_USAGE,
  sendMessageSignal,
  stateQuery,
  type CodexTaskInput,
  type CodexTaskResult,
  type PermissionRequest,
  type TaskMessage,
} from '../../src/contract/index.js';

const REQUEST: PermissionRequest = {
  requestId: 'r1',
  kind: 'command',
  summary: 'Run ls',
  input: {},
  openedAt: '2026-01-01T00:00:00.000Z',
};

/** Stands in for the real workflow: ends on `close`, fails on the message `fail`, decides request `r1` once. */
export async function codexTask(input: CodexTaskInput): Promise<CodexTaskResult> {
  const messages: TaskMessage[] = [];
  let open = true;
  let closed = false;
  setHandler(sendMessageSignal, (message) => void messages.push(message));
  setHandler(closeSignal, () => void (closed = true));
  setHandler(
    decidePermissionUpdate,
    ({ requestId, behavior }) => {
      open = false;
      return { requestId, behavior };
    },
    {
      validator({ requestId }) {
        if (requestId !== 'r1' || !open)
          throw ApplicationFailure.nonRetryable(
            `request ${requestId} is ${open ? 'unknown' : 'settled'}`,
            'BadInput',
          );
      },
    },
  );
  const taskId = workflowInfo().workflowId;
  setHandler(stateQuery, () => ({
    state: 'idle',
    taskId,
    threadId: null,
    host: typeof input.ui?.['host'] === 'string' ? input.ui['host'] : null,
    // The input says where the test's listener is.
    listener: input.instructions ? { url: input.instructions } : null,
    model: null,
    seedId: null,
    quarantineId: null,
    pending: open ? [REQUEST] : [],
    turns: messages.length,
    usage: NO_USAGE,
    controls: [],
    decidedByRule: { allow: 0, deny: 0 },
    warnings: [],
  }));
  await condition(() => closed || messages.some(({ text }) => text === 'fail'));
  if (!closed) throw ApplicationFailure.nonRetryable('codex broke', 'CodexFailed');
  const finalMessage = messages.at(-1)?.text ?? null;
  return {
    taskId,
    threadId: null,
    outcome: 'closed',
    finalMessage,
    turns: 0,
    usage: NO_USAGE,
    deliverables: [],
  };
}
