import { condition, isCancellation } from '@temporalio/workflow';
import type { Deliverable, Errand } from '../contract.js';
import type { Moved } from '../step-arguments.js';
import { callHook, hookFault } from './hooks.js';
import type { Task } from './task.js';

/** Errands that are remembered, so that one that is told again changes nothing. */
const REMEMBERED = 5_000;
/** As many ids of answered ones go to a next host, newest first: an argument must stay small. */
const TOLD_SETTLED = 2_000;
/** Longest answer of a hook that travels to the host, in characters. */
const MAX_ANSWER = 30_000;
const TROUBLE = 'trouble on my side, deliver again after the next resume';

/** What the host asks the task's hooks, in the order in which it came. */
export interface Errands {
  /** Takes an errand once by its id. */
  take(errand: Errand): void;
  /** The oldest of this kind that nobody has in hand. */
  next(kind: Errand['kind']): Errand | undefined;
  has(kind: Errand['kind']): boolean;
  /** It has its answer. */
  done(errand: Errand): void;
  /** Nobody has it in hand any more. */
  giveBack(errand: Errand): void;
  /** Whether somebody has one in hand. */
  readonly isBusy: boolean;
  /** Everything that was delivered; a file that came again is in its first place. */
  deliverables(): Deliverable[];
  /** Their ids, for a host that did not bring them. */
  known(): NonNullable<Moved['errands']>;
  carry(): CarriedErrands;
}

/** Errands as they go into the next run of the workflow. */
export interface CarriedErrands {
  seen: string[];
  waiting: Errand[];
  deliverables: Deliverable[];
}

export function openErrands(carried?: CarriedErrands): Errands {
  const seen = new Set<string>(carried?.seen);
  const delivered = new Map<string, Deliverable>(carried?.deliverables.map((each) => [each.path, each]));
  const waiting: Errand[] = [...(carried?.waiting ?? [])];
  const inHand = new Set<string>();
  return {
    take(errand) {
      if (seen.has(errand.id)) return;
      seen.add(errand.id);
      if (seen.size > REMEMBERED) seen.delete(seen.values().next().value!);
      waiting.push(errand);
      if (errand.kind !== 'deliverable') return;
      const { path, bytes, sha256, contentType } = errand.deliverable;
      delivered.set(path, { path, bytes, sha256, contentType });
    },
    next(kind) {
      const at = waiting.findIndex((errand) => errand.kind === kind);
      if (at === -1) return undefined;
      const [errand] = waiting.splice(at, 1);
      inHand.add(errand!.id);
      return errand;
    },
    done: ({ id }) => void inHand.delete(id),
    giveBack(errand) {
      inHand.delete(errand.id);
      waiting.unshift(errand);
    },
    get isBusy() {
      return inHand.size > 0;
    },
    has: (kind) => waiting.some((errand) => errand.kind === kind),
    deliverables: () => [...delivered.values()],
    known() {
      const open = new Set([...inHand, ...waiting.map(({ id }) => id)]);
      const settled = [...seen].filter((id) => !open.has(id)).slice(-TOLD_SETTLED);
      return { open: [...open], settled };
    },
    carry: () => ({ seen: [...seen], waiting, deliverables: [...delivered.values()] }),
  };
}

/** Runs errands until it is cancelled: one of each kind at a time. Every one is answered, whatever its hook does. */
export async function serveErrands(task: Task): Promise<never> {
  const kinds = ['deliverable', 'callerMessage', 'upload'] as const;
  await Promise.all(kinds.map((kind) => serve(task, kind)));
  throw new Error('Errands were given up');
}

async function serve(task: Task, kind: Errand['kind']): Promise<void> {
  for (;;) {
    await condition(() => task.errands.has(kind));
    const errand = task.errands.next(kind);
    if (!errand) continue;
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

async function answerTo(task: Task, errand: Errand): Promise<string | null> {
  try {
    const answer: unknown = await ask(task, errand);
    if (typeof answer === 'string') return textFor(errand, answer);
    if (answer === null || errand.kind === 'upload') return null;
    throw new Error(`expected a string or null as its answer, got ${typeof answer}`);
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
  const text = answer.length > MAX_ANSWER ? `${answer.slice(0, MAX_ANSWER)}…` : answer;
  if (errand.kind === 'callerMessage') return text === '' ? null : `System: ${text}`;
  if (errand.kind !== 'deliverable' || text === '' || text === 'ok') return null;
  const { path } = errand.deliverable;
  return `System: deliverable ${path.slice(path.lastIndexOf('/') + 1)}: ${text}`;
}
