/** What a message makes codex do. */
export type MessageKind = 'answer' | 'stream' | 'command';

/** Where a task stands when something is done to it. */
export type Phase =
  'sending' | 'model-asked' | 'streaming' | 'approval-open' | 'deciding' | 'idle' | 'closing';

export const FAULTS = [
  'kill-worker',
  'kill-codex',
  'kill-both',
  'stop-worker',
  'freeze-worker',
  'freeze-codex',
  'cut-temporal',
  'cut-database',
  'rotate',
] as const;

/** What is done: to the one worker, to the task's own codex, to a way between, or a rotation of its credential. */
export type Fault = (typeof FAULTS)[number];

export interface Hit {
  task: number;
  message: number;
  phase: Phase;
  fault: Fault;
}

/** One run: some tasks at a time on one host, what each is asked, and what goes wrong meanwhile. */
export interface Plan {
  seed: number;
  tasks: MessageKind[][];
  hits: Hit[];
}

const KINDS: readonly MessageKind[] = ['answer', 'stream', 'command', 'command'];

const PHASES: Record<MessageKind, readonly Phase[]> = {
  answer: ['sending', 'model-asked', 'idle'],
  stream: ['sending', 'model-asked', 'streaming', 'idle'],
  command: ['sending', 'model-asked', 'approval-open', 'deciding', 'idle'],
};

/** The plan of a seed: the same for ever. `faults` are those to choose from. */
export function makePlan(seed: number, faults: readonly Fault[] = FAULTS): Plan {
  const random = randomOf(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const tasks = Array.from({ length: 2 + Math.floor(random() * 3) }, () =>
    Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(KINDS)),
  );
  const hits = Array.from({ length: 1 + Math.floor(random() * 4) }, (): Hit => {
    const task = Math.floor(random() * tasks.length);
    const messages = tasks[task] ?? [];
    const message = Math.floor(random() * messages.length);
    const isLast = message === messages.length - 1;
    const phases = PHASES[messages[message] ?? 'answer'];
    const phase = pick(isLast ? [...phases, 'closing' as const] : phases);
    // Codex writes its credential only while it lives.
    const possible = phase === 'closing' ? faults.filter((fault) => fault !== 'rotate') : faults;
    return { task, message, phase, fault: pick(possible) };
  });
  return { seed, tasks, hits };
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
  `seed ${seed}: ${tasks.map((kinds) => kinds.join('+')).join(' | ')}; ${hits
    .map(({ task, message, phase, fault }) => `${fault} at ${task}.${message} ${phase}`)
    .join(', ')}`;
