import { condition, isCancellation } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import type { Errand } from '../contract/index.js';
import { callHook, hookFault } from './hooks.js';
import { forget, read } from './keep.js';
import { firstToSettle } from './settle.js';
import type { Task } from './task.js';
import type { KeptErrands } from './pending-hook-requests.js';
import { isKept } from './pending-hook-requests.js';

const TROUBLE = 'trouble on my side, deliver again after the next resume';

/** Runs errands until it is cancelled: one of each kind at a time. Every one is answered, whatever its hook does. */
export async function serveErrands(task: Task): Promise<never> {
  const kinds = ['deliverable', 'callerMessage', 'upload'] as const;
  // When this ends, every errand that was in hand has been given back.
  return firstToSettle(...kinds.map((kind) => () => serve(task, kind)));
}

async function serve(task: Task, kind: Errand['kind']): Promise<never> {
  for (;;) {
    await condition(() => task.errands.has(kind));
    const errand = task.errands.next(kind);
    if (!errand) continue;
    if (isKept(errand)) {
      await bringBack(task, errand);
      continue;
    }
    try {
      task.outbox.answer({ id: errand.id, text: await answerTo(task, errand) });
      task.errands.done(errand);
    } catch (error) {
      // The session ends without it, and may go on later.
      task.errands.giveBack(errand);
      throw error;
    }
  }
}

async function bringBack(task: Task, kept: KeptErrands): Promise<void> {
  let errands: readonly Errand[] | null = null;
  try {
    errands = (await read(kept)) as Errand[];
  } finally {
    if (errands) task.errands.restore(kept, errands);
    else task.errands.restore(kept, [kept as never]);
  }
  await forget([kept]);
}

async function answerTo(task: Task, errand: Errand): Promise<string | null> {
  try {
    const answer = await ask(task, errand);
    return answer === null ? null : textFor(errand, answer);
  } catch (error) {
    if (isCancellation(error)) throw error;
    task.warn(`Hook ${HOOKS[errand.kind]}: ${hookFault(error)}`);
    return errand.kind === 'deliverable' ? textFor(errand, TROUBLE) : null;
  }
}

function ask(task: Task, errand: Errand): Promise<string | null> {
  const { taskId } = task.spec;
  switch (errand.kind) {
    case 'deliverable':
      return callHook(task, 'onDeliverable', { taskId, ...errand.deliverable });
    case 'callerMessage': {
      const { keyword, message } = errand;
      return callHook(task, 'onCallerMessage', { taskId, keyword, message });
    }
    case 'upload':
      return callHook(task, 'onUpload', { taskId, path: errand.path, bytes: errand.bytes });
  }
}

const HOOKS = {
  deliverable: 'onDeliverable',
  callerMessage: 'onCallerMessage',
  upload: 'onUpload',
} as const;

/** What the model is told; null: nothing, the file is accepted. */
function textFor(errand: Errand, answer: string): string | null {
  const text = cutText(answer, BUDGETS.hookAnswer);
  if (errand.kind === 'callerMessage') return text === '' ? null : `System: ${text}`;
  if (errand.kind !== 'deliverable' || text === '' || text === 'ok') return null;
  const { path } = errand.deliverable;
  return `System: deliverable ${path.slice(path.lastIndexOf('/') + 1)}: ${text}`;
}
