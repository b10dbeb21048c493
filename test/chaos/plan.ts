import { FAULTS, isOfCodex, isLong, type Fault } from './faults-of-chaos.js';

/**
 * What a message makes codex do; `refresh`: its token is refused once, so that it gets another; `limit`: its account is
 * out of quota for some seconds, so that the task parks.
 */
export type MessageKind = 'answer' | 'stream' | 'command' | 'refresh' | 'limit';

const NO_CODEX_YET = ['acquiring', 'claiming', 'preparing'] as const;
const BEGINNING = [...NO_CODEX_YET, 'launching'] as const;

const CODEX_ENDED = ['saving', 'capturing', 'releasing', 'snapshotting', 'removing'] as const;
/** At these a task has no codex. */
const WITHOUT_CODEX = [...NO_CODEX_YET, 'launching', 'parked', ...CODEX_ENDED] as const;
const ENDING = ['closing', 'stopping', ...CODEX_ENDED] as const;

export const PHASE_ORDER = [
  ...BEGINNING,
  'sending',
  'model-asked',
  'streaming',
  'approval-open',
  'deciding',
  'refreshing',
  'refreshed',
  'limited',
  'parked',
  'idle',
  ...ENDING,
] as const;

/** Where a task stands when something is done to it. */
export type Phase = (typeof PHASE_ORDER)[number];

/** The steps of a task's beginning, as its workflow calls them. */
export const FIRST_STEP_PHASES: Readonly<Record<string, Phase>> = {
  acquireLease: 'acquiring',
  claimHost: 'claiming',
  prepareWorkdir: 'preparing',
  launchAppServer: 'launching',
};

/** The steps of a task's end. */
export const STEP_PHASES: Readonly<Record<string, Phase>> = {
  endSession: 'stopping',
  saveCredential: 'saving',
  captureSeed: 'capturing',
  releaseLease: 'releasing',
  takeSnapshot: 'snapshotting',
  closeTask: 'removing',
};

export interface Hit {
  task: number;
  message: number;
  phase: Phase;
  fault: Fault;
}

export interface PlannedTask {
  messages: MessageKind[];
  /** Its seed gets a place in another pool at the end. */
  captures: boolean;
}

/** One run: some tasks at a time on one host, what each is asked, and what goes wrong meanwhile. */
export interface Plan {
  seed: number;
  tasks: PlannedTask[];
  hits: Hit[];
}

const KINDS: readonly MessageKind[] = ['answer', 'stream', 'command', 'command', 'refresh', 'limit'];

const PHASES: Record<MessageKind, readonly Phase[]> = {
  answer: ['sending', 'model-asked', 'idle'],
  stream: ['sending', 'model-asked', 'streaming', 'idle'],
  command: ['sending', 'model-asked', 'approval-open', 'deciding', 'idle'],
  refresh: ['sending', 'refreshing', 'refreshing', 'refreshed', 'refreshed', 'idle'],
  limit: ['sending', 'model-asked', 'limited', 'limited', 'parked', 'parked', 'idle'],
};

/** The plan of a seed: the same for ever. `faults` are those to choose from. */
export function makePlan(seed: number, faults: readonly Fault[] = FAULTS): Plan {
  const random = randomOf(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const tasks = Array.from({ length: 2 + Math.floor(random() * 2) }, () => ({
    messages: Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(KINDS)),
    captures: random() < 0.6,
  }));
  const hits = Array.from({ length: 1 + Math.floor(random() * 4) }, (): Hit => {
    const task = Math.floor(random() * tasks.length);
    const { messages, captures } = tasks[task]!;
    const message = Math.floor(random() * messages.length);
    const ending = ENDING.filter((phase) => captures || phase !== 'capturing');
    const isLast = message === messages.length - 1;
    const phase = pick([
      ...(message === 0 ? BEGINNING : []),
      ...PHASES[messages[message]!],
      ...(isLast ? ending : []),
    ]);
    const possible = faults.filter((fault) => isPossible(fault, phase, messages));
    return { task, message, phase, fault: pick(possible.length > 0 ? possible : faults) };
  });
  return { seed, tasks, hits: atMostOneLong(hits) };
}

function isPossible(fault: Fault, phase: Phase, messages: readonly MessageKind[]): boolean {
  const isEnding = (ENDING as readonly Phase[]).includes(phase);
  // Codex writes its credential only while it lives, and one that a server gave would not be that server's any more.
  if (fault === 'rotate')
    return !isEnding && !(WITHOUT_CODEX as readonly Phase[]).includes(phase) && !messages.includes('refresh');
  return !(isOfCodex(fault) && (WITHOUT_CODEX as readonly Phase[]).includes(phase));
}

/** Each of them takes a good part of the time that a run has. */
function atMostOneLong(hits: Hit[]): Hit[] {
  const first = hits.find(({ fault }) => isLong(fault));
  return hits.filter((hit) => hit === first || !isLong(hit.fault));
}

/** Mulberry32: 32 bits of state, and a plan's few numbers need no more. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A plan in one line, for the report of a run. */
export const planText = ({ seed, tasks, hits }: Plan): string =>
  `seed ${seed}: ${tasks
    .map(({ messages, captures }) => messages.join('+') + (captures ? '+capture' : ''))
    .join(' | ')}; ${hits
    .map(({ task, message, phase, fault }) => `${fault} at ${task}.${message} ${phase}`)
    .join(', ')}`;
