import { condition, isCancellation } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import type { HookRequest } from '../contract/index.js';
import { callHook, hookFault } from './hooks.js';
import { forgetKept, read } from './keep.js';
import { raceInScope } from './race.js';
import type { Task } from './task.js';
import type { KeptHookRequests } from './pending-hook-requests.js';
import { isKept } from './pending-hook-requests.js';

const TROUBLE = 'trouble on my side, deliver again after the next resume';

/** Runs hook requests until it is cancelled: one of each kind at a time. Every one is answered, whatever its hook does. */
export async function serveHookRequests(task: Task): Promise<never> {
  const kinds = ['deliverable', 'callerMessage', 'upload'] as const;
  // When this ends, every hook request that was in hand has been given back.
  return raceInScope(...kinds.map((kind) => () => serve(task, kind)));
}

async function serve(task: Task, kind: HookRequest['kind']): Promise<never> {
  for (;;) {
    await condition(() => task.hookRequests.has(kind));
    const hookRequest = task.hookRequests.next(kind);
    if (!hookRequest) continue;
    if (isKept(hookRequest)) {
      await bringBack(task, hookRequest);
      continue;
    }
    try {
      task.outbox.answer({ id: hookRequest.id, text: await answerTo(task, hookRequest) });
      task.hookRequests.done(hookRequest);
    } catch (error) {
      // The session ends without it, and may go on later.
      task.hookRequests.giveBack(hookRequest);
      throw error;
    }
  }
}

async function bringBack(task: Task, kept: KeptHookRequests): Promise<void> {
  let hookRequests: readonly HookRequest[] | null = null;
  try {
    hookRequests = (await read(kept)) as HookRequest[];
  } finally {
    if (hookRequests) task.hookRequests.restore(kept, hookRequests);
    else task.hookRequests.restore(kept, [kept as never]);
  }
  await forgetKept([kept]);
}

async function answerTo(task: Task, hookRequest: HookRequest): Promise<string | null> {
  try {
    const answer = await ask(task, hookRequest);
    return answer === null ? null : textFor(hookRequest, answer);
  } catch (error) {
    if (isCancellation(error)) throw error;
    task.warn(`Hook ${HOOKS[hookRequest.kind]}: ${hookFault(error)}`);
    return hookRequest.kind === 'deliverable' ? textFor(hookRequest, TROUBLE) : null;
  }
}

function ask(task: Task, hookRequest: HookRequest): Promise<string | null> {
  const { taskId } = task.spec;
  switch (hookRequest.kind) {
    case 'deliverable':
      return callHook(task, 'onDeliverable', { taskId, ...hookRequest.deliverable });
    case 'callerMessage': {
      const { keyword, message } = hookRequest;
      return callHook(task, 'onCallerMessage', { taskId, keyword, message });
    }
    case 'upload':
      return callHook(task, 'onUpload', { taskId, path: hookRequest.path, bytes: hookRequest.bytes });
  }
}

const HOOKS = {
  deliverable: 'onDeliverable',
  callerMessage: 'onCallerMessage',
  upload: 'onUpload',
} as const;

/** What the model is told; null: nothing, the file is accepted. */
function textFor(hookRequest: HookRequest, answer: string): string | null {
  const text = cutText(answer, BUDGETS.hookAnswer);
  if (hookRequest.kind === 'callerMessage') return text === '' ? null : `System: ${text}`;
  if (hookRequest.kind !== 'deliverable' || text === '' || text === 'ok') return null;
  const { path } = hookRequest.deliverable;
  return `System: deliverable ${path.slice(path.lastIndexOf('/') + 1)}: ${text}`;
}
