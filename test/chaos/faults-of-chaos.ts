/** How long an outage lasts, in lease times. */
export const OUTAGES = { half: 0.5, long: 1.1, longest: 10 } as const;
type Length = keyof typeof OUTAGES;
const LENGTHS = Object.keys(OUTAGES) as Length[];

/**
 * What is out of reach, or stands still: the worker, or with `suspend-machine` all of the host, whose clock since boot
 * stands still too.
 */
export const OUT = ['cut-temporal', 'cut-database', 'cut-both', 'freeze-worker', 'suspend-machine'] as const;
export type Outage = (typeof OUT)[number];
export type LongFault = `${Outage}-${Length}`;

const SHORT_FAULTS = [
  'kill-worker',
  'kill-codex',
  'kill-both',
  'stop-worker',
  'freeze-worker',
  'freeze-codex',
  'cut-temporal',
  'cut-database',
  'disk-full',
  'rotate',
] as const;

/** What is done: to the one worker, to the task's own codex, to a way between, to the disk, or a rotation of its credential. */
export type Fault = (typeof SHORT_FAULTS)[number] | LongFault;

export const FAULTS: readonly Fault[] = [
  ...SHORT_FAULTS,
  ...OUT.flatMap((each) => LENGTHS.map((length): LongFault => `${each}-${length}`)),
];

/** It may last beyond a deadline: codex must stop then, and its turn is done again. */
export const isLong = (fault: Fault): fault is LongFault =>
  LENGTHS.some((length) => fault.endsWith(`-${length}`));

export function outageOf(fault: LongFault): { of: Outage; ttls: number } {
  const at = fault.lastIndexOf('-');
  return { of: fault.slice(0, at) as Outage, ttls: OUTAGES[fault.slice(at + 1) as Length] };
}

export const isOfCodex = (fault: Fault): boolean =>
  fault === 'kill-codex' || fault === 'freeze-codex' || fault === 'rotate';

/** The worker is gone at once, and another process takes its place. */
export const killsWorker = (fault: Fault): boolean => fault === 'kill-worker' || fault === 'kill-both';
