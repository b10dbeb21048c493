export const FAULTS = [
  'kill-worker',
  'kill-codex',
  'kill-both',
  'stop-worker',
  'freeze-worker',
  'freeze-worker-long',
  'freeze-codex',
  'cut-temporal',
  'cut-temporal-long',
  'cut-database',
  'cut-database-long',
  'disk-full',
  'rotate',
] as const;

/** What is done: to the one worker, to the task's own codex, to a way between, to the disk, or a rotation of its credential. */
export type Fault = (typeof FAULTS)[number];

/** Longer than a lease: codex must stop, and its tasks may. */
export const isLong = (fault: Fault): boolean => fault.endsWith('-long');

export const isOfCodex = (fault: Fault): boolean =>
  fault === 'kill-codex' || fault === 'freeze-codex' || fault === 'rotate';

/** The worker is gone at once, and another process takes its place. */
export const killsWorker = (fault: Fault): boolean => fault === 'kill-worker' || fault === 'kill-both';
