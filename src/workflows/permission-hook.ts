import { condition, isCancellation } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import type { HookResults, PermissionRequest } from '../contract/index.js';
import { callHook, hookFault } from './hooks.js';
import { raceInScope } from './race.js';
import type { Task } from './task.js';

/** Does not wait long for a hook that fails: people wait for the request. */
const ATTEMPTS = 3;
/** Asks at most this many at once: one workflow task has a limit of commands. */
const AT_ONCE = 8;

type Judgement = HookResults['onPermissionRequest'];

/**
 * Shows each open request to the hook `onPermissionRequest`, until it is cancelled. A person may decide meanwhile,
 * and the first answer wins. A hook that fails leaves the request to people.
 */
export async function askPermissionHook(task: Task): Promise<never> {
  const judged = new Set<string>();
  let asking = 0;
  const next = () => {
    for (const request of task.permissions.open.values()) if (!judged.has(request.requestId)) return request;
    return null;
  };
  const hasJudge = task.spec.hooks.onPermissionRequest !== undefined;
  for (;;) {
    await condition(() => hasJudge && asking < AT_ONCE && next() !== null);
    const request = next()!;
    judged.add(request.requestId);
    asking++;
    judge(task, request)
      .catch(() => undefined)
      .finally(() => asking--);
    for (const requestId of judged) if (!task.permissions.open.has(requestId)) judged.delete(requestId);
  }
}

async function judge(task: Task, request: PermissionRequest): Promise<void> {
  const { requestId } = request;
  const argument = { taskId: task.spec.taskId, request };
  try {
    const judgement = await raceInScope<Judgement>(
      () => callHook(task, 'onPermissionRequest', argument, { attempts: ATTEMPTS }),
      async () => {
        await condition(() => !task.permissions.open.has(requestId));
        return null;
      },
    );
    if (judgement === null) return;
    const { behavior, message } = judgement;
    if (behavior === 'ask' || (behavior === 'allow' && task.permissions.needsPerson(request))) return;
    const said = message ? { message: cutText(message, BUDGETS.hookAnswer) } : {};
    task.permissions.decide({ requestId, behavior, ...said, decidedBy: 'hook' });
    task.show();
  } catch (error) {
    if (isCancellation(error)) throw error;
    task.warn(`Hook onPermissionRequest on ${requestId}: ${hookFault(error)}; a person decides`);
    task.show();
  }
}
