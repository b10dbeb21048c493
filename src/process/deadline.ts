import { readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FORMATS, isNewer } from '../formats.js';

/** Time left between the guard's act and the end of the lease, for the stop itself: seconds, and at most a part. */
const STOP_SECONDS = 10;
const STOP_PART = 1 / 2;

const marginOf = (ttlMs: number): number => Math.min(STOP_SECONDS, (ttlMs / 1000) * STOP_PART);

/** Seconds from a renewal until the guard stops what nobody renewed again. */
export const secondsUntilStop = (ttlMs: number): number => ttlMs / 1000 - marginOf(ttlMs);

/** Seconds since boot: a clock that nobody sets, and that continues while the machine sleeps. */
export const uptimeSeconds = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

const wallSeconds = (): number => Date.now() / 1000;

/** A moment by two clocks, in seconds. Of a virtual machine that is paused the one since boot may stand still. */
export interface Instant {
  readonly boot: number;
  /** Since 1970. */
  readonly wall: number;
}

export const instantNow = (): Instant => ({ boot: uptimeSeconds(), wall: wallSeconds() });

/** Until when codex may run without another renewal. */
export interface Fence extends Instant {
  /** Seconds from then to the end of the lease: the stop has to be over by then. */
  readonly margin: number;
}

/** Where the two clocks differ, the one that says so counts: a stop too early costs a turn, one too late an account. */
export const isPast = (fence: Instant, now: Instant = instantNow()): boolean =>
  now.boot >= fence.boot || now.wall >= fence.wall;

/** The fence of a lease that was renewed then, for `ttlMs`. */
export const fenceAfter = (renewedAt: Instant, ttlMs: number): Fence => {
  const seconds = secondsUntilStop(ttlMs);
  return { boot: renewedAt.boot + seconds, wall: renewedAt.wall + seconds, margin: marginOf(ttlMs) };
};

/**
 * How long each wait of a stop at a fence may take, in milliseconds: both and the kill fit into the time to the
 * lease's end, however short that is.
 */
export const gracesAt = ({ margin }: Fence): { graceMs: number; secondGraceMs: number } => ({
  graceMs: margin * 500,
  secondGraceMs: margin * 100,
});

/**
 * Records until when a task's codex may use its seed, or a host's tasks may run, without another renewal.
 * @param renewedAt the moment before the renewal was asked for, or its `uptimeSeconds`
 */
export async function writeDeadline(
  folder: string,
  renewedAt: Instant | number,
  ttlMs: number,
): Promise<void> {
  const file = deadlineFile(folder);
  const { boot, wall, margin } = fenceAfter(
    typeof renewedAt === 'number' ? since(renewedAt) : renewedAt,
    ttlMs,
  );
  await writeFile(`${file}.new`, `${boot} ${wall} ${margin} ${FORMATS.deadline.version}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

const since = (boot: number): Instant => ({ boot, wall: wallSeconds() - (uptimeSeconds() - boot) });

/** The fence of a task's or a host's folder; null: it has none. */
export async function readFence(folder: string): Promise<Fence | null> {
  return fenceIn(await readFile(deadlineFile(folder), 'utf8').catch(() => ''));
}

/** The same, synchronously. */
export function readFenceNow(folder: string): Fence | null {
  try {
    return fenceIn(readFileSync(deadlineFile(folder), 'utf8'));
  } catch {
    return null;
  }
}

/** The first number alone is in every version. */
function fenceIn(text: string): Fence | null {
  const [boot = NaN, ...more] = text.trim().split(' ').map(Number.parseFloat);
  const [wall = Infinity, margin = STOP_SECONDS] = isNewer('deadline', more[2]) ? [] : more;
  return Number.isFinite(boot) ? { boot, wall, margin } : null;
}

/** The deadline of a task's or a host's folder in seconds since boot; null: it has none. */
export const readDeadline = async (folder: string): Promise<number | null> =>
  (await readFence(folder))?.boot ?? null;

const deadlineFile = (folder: string) => join(folder, 'deadline');
