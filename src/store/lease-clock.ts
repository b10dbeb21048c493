import { uptime } from 'node:os';

/**
 * How long leases are judged by the old clock after the database's clock jumped ahead: as long as a lease that a
 * worker left behind, so that every holder has renewed by the new clock by then, or its guard has stopped its Codex.
 * Seconds.
 */
const CAUTION_S = 11 * 60;
/** Limit for the difference of synchronized clocks. Seconds. */
const TOLERANCE_S = 5;

/**
 * What is known of one database's clock relative to that of this machine, which continues through sleep. In seconds.
 */
interface Known {
  /** The database is ahead by so much at least, and at most. */
  least: number;
  most: number;
  jumps: { at: number; by: number }[];
}

const clocks = new WeakMap<object, Known>();

/** Since the machine was started. Seconds. */
export const secondsUp = (): number => uptime();

/**
 * Notes an answer of the database to the question for its time, and finds out whether its clock jumped: another node
 * answers after a failover.
 * @param client whose connection it is
 * @param asked `secondsUp` before the question; `answered` behind it
 */
export function noteClock(client: object, told: Date, asked: number, answered = secondsUp()): void {
  const seconds = told.getTime() / 1_000;
  const [least, most] = [seconds - answered, seconds - asked];
  const known = clocks.get(client);
  const jumps = known?.jumps.filter(({ at }) => answered - at < CAUTION_S) ?? [];
  const by = !known ? 0 : least > known.most ? least - known.most : Math.min(0, most - known.least);
  if (Math.abs(by) > TOLERANCE_S) jumps.push({ at: answered, by });
  clocks.set(client, { least, most, jumps });
}

/**
 * The time by which other holders' leases are judged: `now`, or without a recent jump of the database's clock. A
 * holder knows the end of its lease by the old clock until it renews.
 */
export function judgedBy(client: object | undefined, now: Date, upS = secondsUp()): Date {
  const known = client && clocks.get(client);
  if (!known || known.jumps.length === 0) return now;
  const recent = known.jumps.filter(({ at }) => upS - at < CAUTION_S);
  const ahead = recent.reduce((sum, { by }) => sum + by, 0);
  return ahead > 0 ? new Date(now.getTime() - ahead * 1_000) : now;
}
