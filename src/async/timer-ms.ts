/** What a timer of Node takes, 24 days; it fires at once for more. Milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** The milliseconds to give a timer of Node: none below 0, of which it warns, and none beyond what it takes. */
export const timerMs = (ms: number): number => Math.min(Math.max(ms, 0), LONGEST_MS);
