import { readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Time left between the guard's act and the end of the lease, for the stop itself. Seconds. */
const STOP_SECONDS = 10;

/** Seconds since boot: a clock that nobody sets, and that goes on while the machine sleeps. */
export const uptimeSeconds = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

/**
 * Writes down until when a task's codex may use its seed without another renewal.
 * @param renewedAt `uptimeSeconds` before the renewal was asked for
 */
export async function writeDeadline(taskRoot: string, renewedAt: number, ttlMs: number): Promise<void> {
  const file = deadlineFile(taskRoot);
  await writeFile(`${file}.new`, `${renewedAt + ttlMs / 1000 - STOP_SECONDS}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The deadline in seconds since boot; null: this task has none. */
export async function readDeadline(taskRoot: string): Promise<number | null> {
  const seconds = Number.parseFloat(await readFile(deadlineFile(taskRoot), 'utf8').catch(() => ''));
  return Number.isFinite(seconds) ? seconds : null;
}

const deadlineFile = (taskRoot: string) => join(taskRoot, 'deadline');
