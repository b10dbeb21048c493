import { readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Time left between the guard's act and the end of the lease, for the stop itself: seconds, and at most a part. */
const STOP_SECONDS = 10;
const STOP_PART = 1 / 2;

/** Seconds from a renewal until the guard stops what nobody renewed again. */
export const secondsUntilStop = (ttlMs: number): number =>
  ttlMs / 1000 - Math.min(STOP_SECONDS, (ttlMs / 1000) * STOP_PART);

/** Seconds since boot: a clock that nobody sets, and that goes on while the machine sleeps. */
export const uptimeSeconds = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

/**
 * Writes down until when a task's codex may use its seed, or a host's tasks may run, without another renewal.
 * @param renewedAt `uptimeSeconds` before the renewal was asked for
 */
export async function writeDeadline(folder: string, renewedAt: number, ttlMs: number): Promise<void> {
  const file = deadlineFile(folder);
  await writeFile(`${file}.new`, `${renewedAt + secondsUntilStop(ttlMs)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The deadline of a task's or a host's folder in seconds since boot; null: it has none. */
export async function readDeadline(folder: string): Promise<number | null> {
  const seconds = Number.parseFloat(await readFile(deadlineFile(folder), 'utf8').catch(() => ''));
  return Number.isFinite(seconds) ? seconds : null;
}

const deadlineFile = (folder: string) => join(folder, 'deadline');
